//! Batched updates of a persistent Merkle Patricia trie, lookups, and proofs.
//!
//! An update takes all changes of a block at once, sorted by key, walks each touched path once, hashes each touched node
//! once, side by side with others, and goes over a branch's children on all cores when there is enough work.

use alloy_primitives::Bytes;
use alloy_trie::Nibbles;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::node::{Kind, Leaf, Link, Node, NodeSource};

mod drafts;

use drafts::{Child, Draft, Drafts, Shape};

/// Changes below which a subtree is updated on one core.
const PARALLEL: usize = 128;

/// What a key is to hold.
#[derive(Clone, Debug)]
pub struct Value {
    pub bytes: Vec<u8>,
    pub storage: Option<Link>,
}

/// A key (64 nibbles) and its new value, None to delete it.
pub type Change = (Nibbles, Option<Value>);

/// Applies `changes`, which must be sorted by key and unique.
pub fn update<S: NodeSource + Sync>(
    source: &S,
    root: Option<Link>,
    mut changes: Vec<Change>,
) -> Result<Option<Link>> {
    debug_assert!(changes.is_sorted_by(|a, b| a.0 < b.0));
    whole(source, root, 0, &mut changes)
}

/// Applies changes to a subtree, and hashes it.
fn whole<S: NodeSource + Sync>(
    source: &S,
    link: Option<Link>,
    depth: usize,
    changes: &mut [Change],
) -> Result<Option<Link>> {
    let mut update = Update {
        source,
        drafts: Drafts::default(),
    };
    Ok(match update.apply(link, depth, changes)? {
        None => None,
        Some(Child::Known(link)) => Some(link),
        Some(Child::New(root)) => {
            let left_out = || Error::Corrupt("an update left out a node".into());
            Some(update.drafts.hash(root).ok_or_else(left_out)?)
        }
    })
}

/// Changes without those that delete.
fn kept(changes: &mut [Change]) -> Vec<Change> {
    let taken = changes.iter_mut().map(|(key, value)| (*key, value.take()));
    taken.filter(|(_, value)| value.is_some()).collect()
}

struct Update<'a, S> {
    source: &'a S,
    drafts: Drafts,
}

impl<S: NodeSource + Sync> Update<'_, S> {
    fn apply(
        &mut self,
        link: Option<Link>,
        depth: usize,
        changes: &mut [Change],
    ) -> Result<Option<Child>> {
        let Some(first) = changes.first().map(|change| change.0) else {
            return Ok(link.map(Child::Known));
        };
        let Some(link) = link else {
            return match changes.iter().all(|(_, value)| value.is_some()) {
                true => self.build(depth, changes),
                false => self.build(depth, &mut kept(changes)),
            };
        };
        let node = self.source.load(&link)?;
        match &node.kind {
            Kind::Leaf(leaf) => {
                let key = first.slice(..depth).join(&leaf.path);
                let place = changes.binary_search_by(|(other, _)| other.cmp(&key));
                let mut all = kept(changes);
                if place.is_err() {
                    let value = Value {
                        bytes: leaf.value.clone(),
                        storage: leaf.storage.clone(),
                    };
                    let place = all.partition_point(|(other, _)| *other < key);
                    all.insert(place, (key, Some(value)));
                }
                self.build(depth, &mut all)
            }
            Kind::Extension { path, child } => {
                let shared = |key: &Nibbles| key.slice(depth..).common_prefix_length(path);
                // To delete a key that is not there changes nothing.
                let counts = |(key, value): &Change| value.is_some() || shared(key) == path.len();
                let mut some: Vec<Change>;
                let changes = match changes.iter().all(counts) {
                    true => changes,
                    false => {
                        let all = changes.iter_mut().filter(|change| counts(change));
                        some = all.map(|(key, value)| (*key, value.take())).collect();
                        &mut some[..]
                    }
                };
                let Some(common) = changes.iter().map(|(key, _)| shared(key)).min() else {
                    return Ok(Some(Child::Known(link)));
                };
                let below = if common == path.len() {
                    self.apply(Some(child.clone()), depth + common, changes)?
                } else {
                    let mut children: Box<[Option<Link>; 16]> = Box::default();
                    let rest = path.slice(common + 1..);
                    let moved = if rest.is_empty() {
                        child.clone()
                    } else {
                        Node::link(Kind::Extension {
                            path: rest,
                            child: child.clone(),
                        })
                    };
                    children[usize::from(path.get_unchecked(common))] = Some(moved);
                    self.branch(children, depth + common, changes)?
                };
                below
                    .map(|below| self.extend(path.slice(..common), below))
                    .transpose()
            }
            Kind::Branch(children) => self.branch(children.clone(), depth, changes),
        }
    }

    /// Applies changes to a branch at `depth`, and folds it if it has fewer than two children left.
    fn branch(
        &mut self,
        mut children: Box<[Option<Link>; 16]>,
        depth: usize,
        changes: &mut [Change],
    ) -> Result<Option<Child>> {
        let parallel = changes.len() >= PARALLEL;
        let mut new: [Option<Draft>; 16] = Default::default();
        let groups = changes.chunk_by_mut(|a, b| nibble(a, depth) == nibble(b, depth));
        if parallel {
            let source = self.source;
            let work: Vec<_> = groups
                .map(|group| (children[nibble(&group[0], depth)].take(), group))
                .collect();
            let done = work.into_par_iter().map(|(child, group)| {
                let nibble = nibble(&group[0], depth);
                whole(source, child, depth + 1, group).map(|child| (nibble, child))
            });
            for (nibble, child) in done.collect::<Result<Vec<_>>>()? {
                children[nibble] = child;
            }
        } else {
            for group in groups {
                let nibble = nibble(&group[0], depth);
                match self.apply(children[nibble].take(), depth + 1, group)? {
                    Some(Child::Known(link)) => children[nibble] = Some(link),
                    Some(Child::New(draft)) => new[nibble] = Some(draft),
                    None => {}
                }
            }
        }
        let mut left =
            (0..16).filter(|nibble| children[*nibble].is_some() || new[*nibble].is_some());
        match (left.next(), left.next()) {
            (None, _) => Ok(None),
            (Some(nibble), None) => {
                let known = children[nibble].take().map(Child::Known);
                let only = known.or(new[nibble].map(Child::New));
                let path = Nibbles::from_nibbles([nibble as u8]);
                only.map(|only| self.extend(path, only)).transpose()
            }
            _ => {
                let new = new.iter().enumerate();
                let new = new.filter_map(|(nibble, draft)| Some((nibble, (*draft)?)));
                Ok(Some(self.drafts.branch(children, new)))
            }
        }
    }

    /// Puts `path` in front of a node: leaves and extensions take it into their own.
    fn extend(&mut self, path: Nibbles, child: Child) -> Result<Child> {
        if path.is_empty() {
            return Ok(child);
        }
        let link = match child {
            Child::New(draft) => {
                return Ok(match self.drafts.shape(draft) {
                    Shape::Leaf(leaf) => {
                        leaf.path = path.join(&leaf.path);
                        child
                    }
                    Shape::Extension(tail, _) => {
                        *tail = path.join(tail);
                        child
                    }
                    Shape::Branch(_) | Shape::Gone => self.drafts.extension(path, child),
                });
            }
            Child::Known(link) => link,
        };
        let node = self.source.load(&link)?;
        Ok(match &node.kind {
            Kind::Leaf(leaf) => self.drafts.leaf(Leaf {
                path: path.join(&leaf.path),
                ..leaf.clone()
            }),
            Kind::Extension { path: tail, child } => self
                .drafts
                .extension(path.join(tail), Child::Known(child.clone())),
            Kind::Branch(_) => self.drafts.extension(path, Child::Known(link)),
        })
    }

    /// A subtree of nothing but new values.
    fn build(&mut self, depth: usize, values: &mut [Change]) -> Result<Option<Child>> {
        let (Some(first), Some(last)) = (values.first(), values.last()) else {
            return Ok(None);
        };
        let first = first.0.slice(depth..);
        if values.len() == 1 {
            return Ok(values[0].1.take().map(|value| {
                self.drafts.leaf(Leaf {
                    path: first,
                    value: value.bytes,
                    storage: value.storage,
                })
            }));
        }
        let common = first.common_prefix_length(&last.0.slice(depth..));
        let below = self.branch(Box::default(), depth + common, values)?;
        below
            .map(|below| self.extend(first.slice(..common), below))
            .transpose()
    }
}

/// Which child of a branch at `depth` a change goes to.
fn nibble(change: &Change, depth: usize) -> usize {
    usize::from(change.0.get_unchecked(depth))
}

/// The leaf of a key.
pub fn get<S: NodeSource + ?Sized>(
    source: &S,
    root: Option<&Link>,
    key: &Nibbles,
) -> Result<Option<Leaf>> {
    walk(source, root, key, |_| {})
}

/// The nodes from the root towards a key (EIP-1186), and the key's leaf. Nodes that lie inside their parents are not
/// repeated.
pub fn prove<S: NodeSource + ?Sized>(
    source: &S,
    root: Option<&Link>,
    key: &Nibbles,
) -> Result<(Vec<Bytes>, Option<Leaf>)> {
    let mut proof = Vec::new();
    let leaf = walk(source, root, key, |kind| {
        let mut rlp = Vec::new();
        kind.encode_rlp(&mut rlp);
        if proof.is_empty() || rlp.len() >= 32 {
            proof.push(Bytes::from(rlp));
        }
    })?;
    Ok((proof, leaf))
}

fn walk<S: NodeSource + ?Sized>(
    source: &S,
    root: Option<&Link>,
    key: &Nibbles,
    mut visit: impl FnMut(&Kind),
) -> Result<Option<Leaf>> {
    let Some(mut link) = root.cloned() else {
        return Ok(None);
    };
    let mut depth = 0;
    loop {
        let node = source.load(&link)?;
        visit(&node.kind);
        link = match &node.kind {
            Kind::Leaf(leaf) => return Ok((key.slice(depth..) == leaf.path).then(|| leaf.clone())),
            Kind::Extension { path, child } => {
                if !key.slice(depth..).starts_with(path) {
                    return Ok(None);
                }
                depth += path.len();
                child.clone()
            }
            Kind::Branch(children) => {
                let Some(child) = key
                    .get(depth)
                    .and_then(|nibble| children[usize::from(nibble)].clone())
                else {
                    return Ok(None);
                };
                depth += 1;
                child
            }
        };
    }
}

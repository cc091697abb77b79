//! Batched updates of a persistent Merkle Patricia trie, lookups, and proofs.
//!
//! An update takes all changes of a block at once, sorted by key, walks each touched path once, hashes each touched node
//! once, and goes over a branch's children on all cores when there is enough work.

use alloy_primitives::Bytes;
use alloy_trie::Nibbles;
use rayon::prelude::*;

use crate::error::Result;
use crate::node::{Kind, Leaf, Link, Node, NodeSource};

/// Changes below which a subtree is updated on one core.
const PARALLEL: usize = 64;

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
    changes: Vec<Change>,
) -> Result<Option<Link>> {
    debug_assert!(changes.is_sorted_by(|a, b| a.0 < b.0));
    apply(source, root, 0, changes)
}

fn apply<S: NodeSource + Sync>(
    source: &S,
    link: Option<Link>,
    depth: usize,
    mut changes: Vec<Change>,
) -> Result<Option<Link>> {
    let Some(first) = changes.first().map(|change| change.0) else {
        return Ok(link);
    };
    let Some(link) = link else {
        changes.retain(|(_, value)| value.is_some());
        return Ok(build(depth, changes));
    };
    let node = source.load(&link)?;
    match &node.kind {
        Kind::Leaf(Leaf {
            path,
            value,
            storage,
        }) => {
            let key = first.slice(..depth).join(path);
            if let Err(place) = changes.binary_search_by(|(other, _)| other.cmp(&key)) {
                changes.insert(
                    place,
                    (
                        key,
                        Some(Value {
                            bytes: value.clone(),
                            storage: storage.clone(),
                        }),
                    ),
                );
            }
            changes.retain(|(_, value)| value.is_some());
            Ok(build(depth, changes))
        }
        Kind::Extension { path, child } => {
            let shared = |key: &Nibbles| key.slice(depth..).common_prefix_length(path);
            // To delete a key that is not there changes nothing.
            changes.retain(|(key, value)| value.is_some() || shared(key) == path.len());
            let Some(common) = changes.iter().map(|(key, _)| shared(key)).min() else {
                return Ok(Some(link));
            };
            let below = if common == path.len() {
                apply(source, Some(child.clone()), depth + common, changes)?
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
                branch(source, children, depth + common, changes)?
            };
            below
                .map(|below| extend(source, path.slice(..common), below))
                .transpose()
        }
        Kind::Branch(children) => branch(source, children.clone(), depth, changes),
    }
}

/// Applies changes to a branch at `depth`, and folds it if it has fewer than two children left.
fn branch<S: NodeSource + Sync>(
    source: &S,
    mut children: Box<[Option<Link>; 16]>,
    depth: usize,
    changes: Vec<Change>,
) -> Result<Option<Link>> {
    let parallel = changes.len() >= PARALLEL;
    let mut groups: [Vec<Change>; 16] = Default::default();
    for change in changes {
        groups[usize::from(change.0.get_unchecked(depth))].push(change);
    }
    let one = |(child, group): (&mut Option<Link>, Vec<Change>)| -> Result<()> {
        if !group.is_empty() {
            *child = apply(source, child.take(), depth + 1, group)?;
        }
        Ok(())
    };
    if parallel {
        children
            .par_iter_mut()
            .zip(groups.into_par_iter())
            .try_for_each(one)?;
    } else {
        children.iter_mut().zip(groups).try_for_each(one)?;
    }
    let mut left = children
        .iter()
        .enumerate()
        .filter(|(_, child)| child.is_some());
    match (left.next(), left.next()) {
        (None, _) => Ok(None),
        (Some((nibble, Some(child))), None) => {
            let child = child.clone();
            extend(source, Nibbles::from_nibbles([nibble as u8]), child).map(Some)
        }
        _ => Ok(Some(Node::link(Kind::Branch(children)))),
    }
}

/// Puts `path` in front of a node: leaves and extensions take it into their own.
fn extend<S: NodeSource>(source: &S, path: Nibbles, child: Link) -> Result<Link> {
    if path.is_empty() {
        return Ok(child);
    }
    let node = source.load(&child)?;
    Ok(match &node.kind {
        Kind::Leaf(leaf) => Node::leaf(
            path.join(&leaf.path),
            leaf.value.clone(),
            leaf.storage.clone(),
        ),
        Kind::Extension { path: tail, child } => Node::link(Kind::Extension {
            path: path.join(tail),
            child: child.clone(),
        }),
        Kind::Branch(_) => Node::link(Kind::Extension { path, child }),
    })
}

/// A subtree of nothing but new values.
fn build(depth: usize, mut values: Vec<Change>) -> Option<Link> {
    if values.len() <= 1 {
        let (key, value) = values.pop()?;
        let value = value?;
        return Some(Node::leaf(key.slice(depth..), value.bytes, value.storage));
    }
    let first = values[0].0.slice(depth..);
    let common = first.common_prefix_length(&values[values.len() - 1].0.slice(depth..));
    let parallel = values.len() >= PARALLEL;
    let mut groups: [Vec<Change>; 16] = Default::default();
    for value in values {
        groups[usize::from(value.0.get_unchecked(depth + common))].push(value);
    }
    let mut children: Box<[Option<Link>; 16]> = Box::default();
    let one = |(child, group): (&mut Option<Link>, Vec<Change>)| {
        *child = build(depth + common + 1, group)
    };
    if parallel {
        children
            .par_iter_mut()
            .zip(groups.into_par_iter())
            .for_each(one);
    } else {
        children.iter_mut().zip(groups).for_each(one);
    }
    let link = Node::link(Kind::Branch(children));
    Some(if common == 0 {
        link
    } else {
        Node::link(Kind::Extension {
            path: first.slice(..common),
            child: link,
        })
    })
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

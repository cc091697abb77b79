//! New nodes of a trie before they are hashed.
//!
//! A node's hash is made of its children's, so nodes are hashed from the leaves up; those of one height do not depend on each
//! other and go side by side (`keccak`).

use alloy_trie::Nibbles;
use alloy_trie::nodes::RlpNode;

use crate::keccak;
use crate::node::{Kind, Leaf, Link};

/// The number of a draft.
pub type Draft = usize;

/// A child of a node in the making: as it is in the trie, or new.
#[derive(Clone)]
pub enum Child {
    Known(Link),
    New(Draft),
}

/// A node whose new children are filled in when they are hashed.
pub enum Shape {
    Leaf(Leaf),
    Extension(Nibbles, Option<Link>),
    Branch(Box<[Option<Link>; 16]>),
    /// It is hashed.
    Gone,
}

struct Entry {
    shape: Shape,
    height: usize,
    parent: Option<(Draft, usize)>,
}

#[derive(Default)]
pub struct Drafts(Vec<Entry>);

impl Drafts {
    fn add(&mut self, shape: Shape, height: usize) -> Child {
        self.0.push(Entry {
            shape,
            height,
            parent: None,
        });
        Child::New(self.0.len() - 1)
    }

    pub fn leaf(&mut self, leaf: Leaf) -> Child {
        self.add(Shape::Leaf(leaf), 0)
    }

    /// `path` in front of a branch.
    pub fn extension(&mut self, path: Nibbles, child: Child) -> Child {
        let below = match child {
            Child::Known(link) => return self.add(Shape::Extension(path, Some(link)), 0),
            Child::New(below) => below,
        };
        let height = self.0[below].height + 1;
        self.0[below].parent = Some((self.0.len(), 0));
        self.add(Shape::Extension(path, None), height)
    }

    /// A branch with these children, and in their places the new ones.
    pub fn branch(
        &mut self,
        children: Box<[Option<Link>; 16]>,
        new: impl Iterator<Item = (usize, Draft)>,
    ) -> Child {
        let (place, mut height) = (self.0.len(), 0);
        for (nibble, child) in new {
            let child = &mut self.0[child];
            child.parent = Some((place, nibble));
            height = height.max(child.height + 1);
        }
        self.add(Shape::Branch(children), height)
    }

    pub fn shape(&mut self, draft: Draft) -> &mut Shape {
        &mut self.0[draft].shape
    }

    /// Hashes all drafts and returns the link to the root, which none of them is above. None: a node lacks its child, or was hashed
    /// before it, which would be a mistake of this program's.
    pub fn hash(mut self, root: Draft) -> Option<Link> {
        let heights: Vec<usize> = self.0.iter().map(|entry| entry.height).collect();
        let mut order: Vec<Draft> = (0..heights.len()).collect();
        order.sort_by_key(|draft| heights[*draft]);
        let (mut buffer, mut result) = (Vec::with_capacity(1 << 14), None);
        for level in order.chunk_by(|a, b| heights[*a] == heights[*b]) {
            buffer.clear();
            let mut nodes = Vec::with_capacity(level.len());
            for draft in level {
                let kind = match core::mem::replace(&mut self.0[*draft].shape, Shape::Gone) {
                    Shape::Leaf(leaf) => Kind::Leaf(leaf),
                    Shape::Extension(path, Some(child)) => Kind::Extension { path, child },
                    Shape::Branch(children) => Kind::Branch(children),
                    Shape::Extension(_, None) | Shape::Gone => return None,
                };
                let start = buffer.len();
                kind.encode_rlp(&mut buffer);
                nodes.push((*draft, kind, start..buffer.len()));
            }
            let messages: Vec<&[u8]> = nodes
                .iter()
                .map(|(.., range)| &buffer[range.clone()])
                .filter(|rlp| rlp.len() >= 32)
                .collect();
            let mut hashes = keccak::all(&messages).into_iter();
            for (draft, kind, range) in nodes {
                // What is shorter than a hash stands for itself.
                let short = RlpNode::from_raw(&buffer[range]).filter(|rlp| rlp.len() < 32);
                let rlp = short.or_else(|| hashes.next().map(|hash| RlpNode::word_rlp(&hash)))?;
                let link = Link::to_new(rlp, kind);
                let parent = self.0[draft].parent;
                match parent {
                    _ if draft == root => result = Some(link),
                    Some((parent, nibble)) => match &mut self.0[parent].shape {
                        Shape::Branch(children) => children[nibble] = Some(link),
                        Shape::Extension(_, child) => *child = Some(link),
                        Shape::Leaf(_) | Shape::Gone => return None,
                    },
                    None => {}
                }
            }
        }
        result
    }
}

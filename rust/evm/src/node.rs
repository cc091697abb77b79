//! Nodes of a Merkle Patricia trie: persistent values that share what did not change.
//!
//! Source: Ethereum yellow paper, appendix D; keys are 32-byte hashes, so a branch never holds a value. A stored node is
//! addressed by a number that only grows (not by its hash), so a commit appends to the node table and old states stay readable.
//! A leaf of the state trie also links to its account's storage trie.

use alloy_primitives::{B256, keccak256};
use alloy_rlp::{EMPTY_STRING_CODE, Encodable};
use alloy_trie::nodes::{RlpNode, encode_path_leaf};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// A node's number in the node table. 0: not stored (yet).
pub type NodeId = u64;

#[derive(Clone, Debug)]
pub enum Pointer {
    Stored(NodeId),
    Loaded(Arc<Node>),
}

/// A reference to a node: what its parent's RLP holds of it, and where it is.
#[derive(Clone, Debug)]
pub struct Link {
    pub rlp: RlpNode,
    pub pointer: Pointer,
}

impl Link {
    /// A link to the root of a stored trie.
    pub fn root(id: NodeId, hash: &B256) -> Option<Self> {
        (*hash != EMPTY_ROOT_HASH && id != 0).then(|| Self {
            rlp: RlpNode::word_rlp(hash),
            pointer: Pointer::Stored(id),
        })
    }

    /// A link to a new node, whose encoding is known.
    pub fn to_new(rlp: RlpNode, kind: Kind) -> Self {
        Self {
            rlp,
            pointer: Pointer::Loaded(Arc::new(Node {
                kind,
                id: AtomicU64::new(0),
            })),
        }
    }

    /// The hash of the node as a root.
    pub fn hash(&self) -> B256 {
        self.rlp
            .as_hash()
            .unwrap_or_else(|| keccak256(self.rlp.as_slice()))
    }

    pub fn id(&self) -> NodeId {
        match &self.pointer {
            Pointer::Stored(id) => *id,
            Pointer::Loaded(node) => node.id.load(Ordering::Relaxed),
        }
    }
}

pub fn root_hash(root: Option<&Link>) -> B256 {
    root.map_or(EMPTY_ROOT_HASH, Link::hash)
}

#[derive(Clone, Debug)]
pub struct Leaf {
    pub path: Nibbles,
    pub value: Vec<u8>,
    /// The storage trie of the account that this leaf of the state trie holds.
    pub storage: Option<Link>,
}

#[derive(Debug)]
pub enum Kind {
    Leaf(Leaf),
    Extension { path: Nibbles, child: Link },
    Branch(Box<[Option<Link>; 16]>),
}

#[derive(Debug)]
pub struct Node {
    pub kind: Kind,
    id: AtomicU64,
}

impl Node {
    /// A new node and the link to it.
    pub fn link(kind: Kind) -> Link {
        let mut buffer = Vec::with_capacity(600);
        kind.encode_rlp(&mut buffer);
        Link::to_new(RlpNode::from_rlp(&buffer), kind)
    }

    pub fn set_id(&self, id: NodeId) {
        self.id.store(id, Ordering::Relaxed);
    }

    pub fn leaf(path: Nibbles, value: Vec<u8>, storage: Option<Link>) -> Link {
        Self::link(Kind::Leaf(Leaf {
            path,
            value,
            storage,
        }))
    }
}

impl Kind {
    /// The node as Ethereum encodes it.
    pub fn encode_rlp(&self, out: &mut Vec<u8>) {
        match self {
            Self::Leaf(leaf) => {
                let path = encode_path_leaf(&leaf.path, true);
                let payload = path[..].length() + leaf.value[..].length();
                alloy_rlp::Header {
                    list: true,
                    payload_length: payload,
                }
                .encode(out);
                path[..].encode(out);
                leaf.value[..].encode(out);
            }
            Self::Extension { path, child } => {
                let path = encode_path_leaf(path, false);
                let payload = path[..].length() + child.rlp.len();
                alloy_rlp::Header {
                    list: true,
                    payload_length: payload,
                }
                .encode(out);
                path[..].encode(out);
                out.extend_from_slice(&child.rlp);
            }
            Self::Branch(children) => {
                let payload = 1 + children
                    .iter()
                    .map(|child| child.as_ref().map_or(1, |link| link.rlp.len()))
                    .sum::<usize>();
                alloy_rlp::Header {
                    list: true,
                    payload_length: payload,
                }
                .encode(out);
                for child in children.iter() {
                    match child {
                        Some(link) => out.extend_from_slice(&link.rlp),
                        None => out.push(EMPTY_STRING_CODE),
                    }
                }
                out.push(EMPTY_STRING_CODE);
            }
        }
    }

    /// The node as the node table holds it: RLP's content and the children's numbers.
    fn encode_record(&self, out: &mut Vec<u8>) {
        match self {
            Self::Leaf(leaf) => {
                out.push(0);
                put_path(&leaf.path, out);
                out.extend_from_slice(&leaf.storage.as_ref().map_or(0, Link::id).to_be_bytes());
                if let Some(storage) = &leaf.storage {
                    out.extend_from_slice(storage.hash().as_slice());
                }
                out.extend_from_slice(&leaf.value);
            }
            Self::Extension { path, child } => {
                out.push(1);
                put_path(path, out);
                put_link(child, out);
            }
            Self::Branch(children) => {
                out.push(2);
                let mask = children.iter().enumerate().fold(0u16, |mask, (i, child)| {
                    mask | u16::from(child.is_some()) << i
                });
                out.extend_from_slice(&mask.to_be_bytes());
                for child in children.iter().flatten() {
                    put_link(child, out);
                }
            }
        }
    }

    fn decode_record(mut data: &[u8]) -> Option<Self> {
        let [kind] = take(&mut data)?;
        match kind {
            0 => {
                let path = take_path(&mut data)?;
                let id = u64::from_be_bytes(take(&mut data)?);
                let storage = if id == 0 {
                    None
                } else {
                    Link::root(id, &B256::from(take::<32>(&mut data)?))
                };
                Some(Self::Leaf(Leaf {
                    path,
                    value: data.to_vec(),
                    storage,
                }))
            }
            1 => {
                let path = take_path(&mut data)?;
                let child = take_link(&mut data)?;
                data.is_empty().then_some(Self::Extension { path, child })
            }
            2 => {
                let mask = u16::from_be_bytes(take(&mut data)?);
                let mut children: Box<[Option<Link>; 16]> = Box::default();
                for (i, child) in children.iter_mut().enumerate() {
                    if mask >> i & 1 == 1 {
                        *child = Some(take_link(&mut data)?);
                    }
                }
                data.is_empty().then_some(Self::Branch(children))
            }
            _ => None,
        }
    }
}

fn put_path(path: &Nibbles, out: &mut Vec<u8>) {
    out.push(path.len() as u8);
    out.extend_from_slice(&path.pack());
}

fn put_link(link: &Link, out: &mut Vec<u8>) {
    out.extend_from_slice(&link.id().to_be_bytes());
    out.push(link.rlp.len() as u8);
    out.extend_from_slice(&link.rlp);
}

fn take<const N: usize>(data: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = data.split_first_chunk::<N>()?;
    *data = tail;
    Some(*head)
}

fn take_slice<'a>(data: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = data.split_at_checked(count)?;
    *data = tail;
    Some(head)
}

fn take_path(data: &mut &[u8]) -> Option<Nibbles> {
    let [len] = take(data)?;
    let len = usize::from(len);
    if len > 64 {
        return None;
    }
    let mut path = Nibbles::unpack(take_slice(data, len.div_ceil(2))?);
    path.truncate(len);
    Some(path)
}

fn take_link(data: &mut &[u8]) -> Option<Link> {
    let id = u64::from_be_bytes(take(data)?);
    let [len] = take(data)?;
    let rlp = RlpNode::from_raw(take_slice(data, usize::from(len))?)?;
    Some(Link {
        rlp,
        pointer: Pointer::Stored(id),
    })
}

/// Reads the node table.
pub trait NodeSource {
    fn record(&self, id: NodeId) -> Result<Arc<Node>>;

    fn load(&self, link: &Link) -> Result<Arc<Node>> {
        match &link.pointer {
            Pointer::Loaded(node) => Ok(node.clone()),
            Pointer::Stored(id) => self.record(*id),
        }
    }
}

/// Parses a record of the node table.
pub fn parse_record(id: NodeId, data: &[u8]) -> Result<Arc<Node>> {
    let kind = Kind::decode_record(data)
        .ok_or_else(|| Error::Corrupt(format!("trie node {id} does not decode")))?;
    Ok(Arc::new(Node {
        kind,
        id: AtomicU64::new(id),
    }))
}

/// Appends every new node under `link` to the node table through `put`, children first, and returns the root's number.
pub fn persist(
    link: &Link,
    next: &mut NodeId,
    put: &mut impl FnMut(NodeId, &[u8]) -> Result<()>,
) -> Result<NodeId> {
    let Pointer::Loaded(node) = &link.pointer else {
        return Ok(link.id());
    };
    if link.id() != 0 {
        return Ok(link.id());
    }
    match &node.kind {
        Kind::Leaf(leaf) => {
            if let Some(storage) = &leaf.storage {
                persist(storage, next, put)?;
            }
        }
        Kind::Extension { child, .. } => {
            persist(child, next, put)?;
        }
        Kind::Branch(children) => {
            for child in children.iter().flatten() {
                persist(child, next, put)?;
            }
        }
    }
    let mut record = Vec::with_capacity(700);
    node.kind.encode_record(&mut record);
    let id = *next;
    put(id, &record)?;
    node.set_id(id);
    *next += 1;
    Ok(id)
}

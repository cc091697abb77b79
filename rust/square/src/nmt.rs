//! Namespaced Merkle trees as celestiaorg/nmt makes them: 29-byte namespaces, SHA-256, the highest namespace ignored.

use crate::sha::{BLOCK, LANES, digests, pad};
use crate::{NAMESPACE, PARITY, SHARE};
use sha2::{Digest, Sha256};

/// `min[29] | max[29] | digest[32]`
pub type Node = [u8; NODE];
pub const NODE: usize = 2 * NAMESPACE + 32;

pub type Namespace = [u8; NAMESPACE];

/// Two neighbours in a tree are not in the order of their namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unordered;

pub fn min(node: &Node) -> &[u8] {
    &node[..NAMESPACE]
}

pub fn max(node: &Node) -> &[u8] {
    &node[NAMESPACE..2 * NAMESPACE]
}

/// The namespace of a share of the original square.
pub fn namespace_of(share: &[u8]) -> Namespace {
    share[..NAMESPACE]
        .try_into()
        .expect("a share is longer than a namespace")
}

/// The digests of leaves: sha256(0x00 | namespace | share) for each share of `shares`. Seven of a message's nine blocks lie
/// within the share and are hashed where they are.
pub fn leaf_digests(shares: &[u8], out: &mut [[u8; 32]], namespace: impl Fn(usize) -> Namespace) {
    const LENGTH: usize = 1 + NAMESPACE + SHARE;
    const HEAD: usize = BLOCK - 1 - NAMESPACE;
    const TAIL: usize = (SHARE - HEAD) / BLOCK * BLOCK + HEAD;
    let mut heads = [[0u8; BLOCK]; LANES];
    let mut tails = [pad([0u8; BLOCK], LENGTH); LANES];
    for (pair, out) in out.chunks_mut(LANES).enumerate() {
        let mut bodies = [&shares[..0]; LANES];
        for lane in 0..LANES {
            // An odd leaf is hashed twice; there is one only in a square of width 1.
            let at = LANES * pair + lane.min(out.len() - 1);
            let share = &shares[at * SHARE..][..SHARE];
            heads[lane][1..=NAMESPACE].copy_from_slice(&namespace(at));
            heads[lane][1 + NAMESPACE..].copy_from_slice(&share[..HEAD]);
            tails[lane][..SHARE - TAIL].copy_from_slice(&share[TAIL..]);
            bodies[lane] = &share[HEAD..TAIL];
        }
        let parts = [
            heads.each_ref().map(|h| h.as_slice()),
            bodies,
            tails.each_ref().map(|t| t.as_slice()),
        ];
        out.copy_from_slice(&digests(&parts)[..out.len()]);
    }
}

pub fn leaf(namespace: &Namespace, digest: &[u8; 32]) -> Node {
    let mut node = [0; NODE];
    node[..NAMESPACE].copy_from_slice(namespace);
    node[NAMESPACE..2 * NAMESPACE].copy_from_slice(namespace);
    node[2 * NAMESPACE..].copy_from_slice(digest);
    node
}

/// Replaces an even number of nodes by their parents, in the first half of the slice.
fn reduce(nodes: &mut [Node]) -> Result<(), Unordered> {
    const LENGTH: usize = 1 + 2 * NODE;
    let mut messages = [pad([0u8; 192], LENGTH); LANES];
    let parents = nodes.len() / 2;
    for first in (0..parents).step_by(LANES) {
        let lanes = LANES.min(parents - first);
        for (lane, message) in messages.iter_mut().enumerate().take(lanes) {
            let child = 2 * (first + lane);
            if min(&nodes[child + 1]) < max(&nodes[child]) {
                return Err(Unordered);
            }
            message[0] = 1;
            message[1..1 + NODE].copy_from_slice(&nodes[child]);
            message[1 + NODE..LENGTH].copy_from_slice(&nodes[child + 1]);
        }
        for (lane, digest) in digests(&[messages.each_ref().map(|m| m.as_slice())])
            .iter()
            .enumerate()
            .take(lanes)
        {
            let child = 2 * (first + lane);
            let highest = if *min(&nodes[child + 1]) == PARITY {
                child
            } else {
                child + 1
            };
            let mut parent = [0; NODE];
            parent[..NAMESPACE].copy_from_slice(min(&nodes[child]));
            parent[NAMESPACE..2 * NAMESPACE].copy_from_slice(max(&nodes[highest]));
            parent[2 * NAMESPACE..].copy_from_slice(digest);
            nodes[first + lane] = parent;
        }
    }
    Ok(())
}

/// The root over leaf nodes, a power of two of them. The slice is used up.
pub fn root(nodes: &mut [Node]) -> Result<Node, Unordered> {
    let mut count = nodes.len();
    while count > 1 {
        reduce(&mut nodes[..count])?;
        count /= 2;
    }
    Ok(nodes[0])
}

/// A tree with all its nodes, for proofs.
pub struct Tree {
    levels: Vec<Vec<Node>>,
}

/// The proof that leaves [start, end) are a namespace's only ones, or with `leaf` that none is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceProof {
    pub start: usize,
    pub end: usize,
    pub nodes: Vec<Node>,
    pub leaf: Option<Node>,
}

impl Tree {
    pub fn new(leaves: Vec<Node>) -> Result<Self, Unordered> {
        assert!(leaves.len().is_power_of_two());
        let mut levels = vec![leaves];
        while levels[levels.len() - 1].len() > 1 {
            let mut level = levels[levels.len() - 1].clone();
            reduce(&mut level)?;
            level.truncate(level.len() / 2);
            levels.push(level);
        }
        Ok(Self { levels })
    }

    pub fn root(&self) -> &Node {
        &self.levels[self.levels.len() - 1][0]
    }

    /// The roots of the largest subtrees beside leaves [start, end), left to right.
    pub fn prove(&self, start: usize, end: usize) -> Vec<Node> {
        let mut nodes = Vec::new();
        self.collect(self.levels.len() - 1, 0, start, end, &mut nodes);
        nodes
    }

    fn collect(&self, level: usize, index: usize, start: usize, end: usize, nodes: &mut Vec<Node>) {
        let (begin, finish) = (index << level, (index + 1) << level);
        if finish <= start || begin >= end {
            nodes.push(self.levels[level][index]);
        } else if level > 0 {
            self.collect(level - 1, 2 * index, start, end, nodes);
            self.collect(level - 1, 2 * index + 1, start, end, nodes);
        }
    }

    /// None when the root's range does not cover the namespace: then no proof is needed.
    pub fn prove_namespace(&self, namespace: &Namespace) -> Option<NamespaceProof> {
        if namespace.as_slice() < min(self.root()) || namespace.as_slice() > max(self.root()) {
            return None;
        }
        let leaves = &self.levels[0];
        let start = leaves.partition_point(|leaf| min(leaf) < namespace.as_slice());
        let end = leaves.partition_point(|leaf| min(leaf) <= namespace.as_slice());
        Some(if start < end {
            NamespaceProof {
                start,
                end,
                nodes: self.prove(start, end),
                leaf: None,
            }
        } else {
            NamespaceProof {
                start,
                end: start + 1,
                nodes: self.prove(start, start + 1),
                leaf: Some(leaves[start]),
            }
        })
    }
}

/// The RFC 6962 root over row roots and then column roots: the hash of the data availability header.
pub fn data_root(roots: impl Iterator<Item = Node>) -> [u8; 32] {
    let mut level: Vec<[u8; 32]> = roots
        .map(|root| {
            Sha256::new()
                .chain_update([0])
                .chain_update(root)
                .finalize()
                .into()
        })
        .collect();
    while level.len() > 1 {
        level = level
            .chunks_exact(2)
            .map(|pair| {
                Sha256::new()
                    .chain_update([1])
                    .chain_update(pair[0])
                    .chain_update(pair[1])
                    .finalize()
                    .into()
            })
            .collect();
    }
    level[0]
}

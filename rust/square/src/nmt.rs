//! Namespaced Merkle trees as celestiaorg/nmt makes them: 29-byte namespaces, SHA-256, the highest namespace ignored.
//!
//! An axis is described by its *own namespaces*: those of its cells in the original quadrant, k of them or none. All other cells have
//! the parity namespace.

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

/// A namespace, and zeros up to a size that is copied at once.
pub type Padded = [u8; 32];

/// The namespace of a share of the original square.
pub fn namespace_of(share: &[u8]) -> Padded {
    let mut padded = [0; 32];
    padded[..NAMESPACE].copy_from_slice(&share[..NAMESPACE]);
    padded
}

const PADDED_PARITY: Padded = {
    let mut padded = [0xff; 32];
    let mut at = NAMESPACE;
    while at < padded.len() {
        padded[at] = 0;
        at += 1;
    }
    padded
};

/// The digests of leaves: sha256(0x00 | namespace | share) for each share of `shares`. Seven of a message's nine blocks lie
/// within the share and are hashed where they are.
pub fn leaf_digests(shares: &[u8], own: &[Padded], out: &mut [[u8; 32]]) {
    const LENGTH: usize = 1 + NAMESPACE + SHARE;
    const HEAD: usize = BLOCK - 1 - NAMESPACE;
    const TAIL: usize = (SHARE - HEAD) / BLOCK * BLOCK + HEAD;
    let mut heads = [[0u8; BLOCK]; LANES];
    let mut tails = [pad([0u8; BLOCK], LENGTH); LANES];
    for (group, out) in out.chunks_mut(LANES).enumerate() {
        let mut bodies = [&shares[..0]; LANES];
        for lane in 0..LANES {
            // In narrow squares some lanes hash the last leaf again.
            let at = LANES * group + lane.min(out.len() - 1);
            let share = &shares[at * SHARE..][..SHARE];
            heads[lane][1..33].copy_from_slice(own.get(at).unwrap_or(&PADDED_PARITY));
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

/// Two siblings as they are hashed for their parent: 0x01 | left | right | padding. The single node of a root's level is a left one.
type Siblings = [u8; 192];

const SIBLINGS: Siblings = {
    let mut message = pad([0u8; 192], 1 + 2 * NODE);
    message[0] = 1;
    message
};

/// One level of a tree, made into the next in place.
#[derive(Default)]
pub struct Level {
    siblings: Vec<Siblings>,
    count: usize,
}

impl Level {
    /// The leaves of an axis, an even number of them.
    pub fn leaves(&mut self, own: &[Padded], digests: &[[u8; 32]]) {
        self.count = digests.len();
        // What lies beside the nodes never changes.
        self.siblings.resize(self.count.div_ceil(2), SIBLINGS);
        for (at, digest) in digests.iter().enumerate() {
            let namespace = own.get(at).unwrap_or(&PADDED_PARITY);
            self.put(at, namespace, namespace, digest);
        }
    }

    /// Each part overwrites the end of the one before, which is padding.
    #[inline]
    fn put(&mut self, at: usize, min: &Padded, max: &Padded, digest: &[u8; 32]) {
        let node = &mut self.siblings[at / 2][1 + at % 2 * NODE..][..NODE];
        node[..32].copy_from_slice(min);
        node[NAMESPACE..][..32].copy_from_slice(max);
        node[2 * NAMESPACE..].copy_from_slice(digest);
    }

    /// Replaces nodes by their parents.
    fn reduce(&mut self) -> Result<(), Unordered> {
        let parents = self.count / 2;
        for first in (0..parents).step_by(LANES) {
            let lanes = LANES.min(parents - first);
            let group = &self.siblings[first..first + lanes];
            // In the highest levels some lanes hash the last siblings again.
            let digests = digests(&[std::array::from_fn(|lane| {
                group[lane.min(lanes - 1)].as_slice()
            })]);
            for (lane, digest) in digests[..lanes].iter().enumerate() {
                let (left, right) = self.siblings[first + lane][1..1 + 2 * NODE].split_at(NODE);
                let right_min = &right[..NAMESPACE];
                if right_min < &left[NAMESPACE..2 * NAMESPACE] {
                    return Err(Unordered);
                }
                let highest = if right_min == PARITY { left } else { right };
                let min: Padded = left[..32].try_into().expect("32 bytes");
                let max: Padded = highest[NAMESPACE..][..32].try_into().expect("32 bytes");
                self.put(first + lane, &min, &max, digest);
            }
        }
        self.count = parents;
        Ok(())
    }

    fn node(&self, at: usize) -> Node {
        self.siblings[at / 2][1 + at % 2 * NODE..][..NODE]
            .try_into()
            .expect("a node's bytes")
    }

    /// The root; the leaves are used up.
    pub fn root(&mut self) -> Result<Node, Unordered> {
        while self.count > 1 {
            self.reduce()?;
        }
        Ok(self.node(0))
    }
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
    pub fn new(own: &[Padded], digests: &[[u8; 32]]) -> Result<Self, Unordered> {
        let mut level = Level::default();
        level.leaves(own, digests);
        let mut levels = Vec::new();
        loop {
            levels.push((0..level.count).map(|at| level.node(at)).collect());
            if level.count == 1 {
                return Ok(Self { levels });
            }
            level.reduce()?;
        }
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

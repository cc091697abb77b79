//! One axis of a square for itself: the codeword that its cells determine, and the root that it ought to have.

use crate::leopard::Work;
use crate::nmt::{self, Level, Node, Padded, Tree, Unordered};
use crate::square::{Axis, code};
use crate::{MAX_SQUARE_SIZE, SHARE};

/// What was given is not an axis of a square.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongShape;

/// The root of the axis whose cells the first k given ones determine; None when it has no tree, because the namespaces of its cells
/// are out of order. All others given are ignored: which k are taken does not depend on what they hold.
pub fn axis_root(
    k: usize,
    _axis: Axis,
    index: usize,
    given: &[Option<&[u8]>],
) -> Result<Option<Node>, WrongShape> {
    if !k.is_power_of_two()
        || k > MAX_SQUARE_SIZE
        || index >= 2 * k
        || given.len() != 2 * k
        || given.iter().flatten().any(|share| share.len() != SHARE)
        || given.iter().flatten().count() < k
    {
        return Err(WrongShape);
    }
    Ok(root(k, index, &codeword(k, given)).ok())
}

/// The 2k shares that the first k given ones determine. Through k points goes one codeword: decoded, it needs no encoding.
pub(crate) fn codeword(k: usize, given: &[Option<&[u8]>]) -> Vec<u8> {
    let mut shares = vec![0; 2 * k * SHARE];
    let mut present = vec![false; 2 * k];
    let mut shards: Vec<&mut [u8]> = shares.chunks_exact_mut(SHARE).collect();
    let found = given
        .iter()
        .enumerate()
        .filter_map(|(at, share)| Some((at, (*share)?)));
    for (at, share) in found.take(k) {
        shards[at].copy_from_slice(share);
        present[at] = true;
    }
    code(k).decode(&mut shards, &present, &mut Work::default());
    shares
}

/// The root of an axis' 2k shares as they are.
pub(crate) fn root(k: usize, index: usize, shares: &[u8]) -> Result<Node, Unordered> {
    let (own, digests) = leaves(k, index, shares);
    let mut level = Level::default();
    level.leaves(&own, &digests);
    level.root()
}

/// Their whole tree.
pub(crate) fn tree(k: usize, index: usize, shares: &[u8]) -> Result<Tree, Unordered> {
    let (own, digests) = leaves(k, index, shares);
    Tree::new(&own, &digests)
}

/// The axis' own namespaces and its leaves' digests.
fn leaves(k: usize, index: usize, shares: &[u8]) -> (Vec<Padded>, Vec<[u8; 32]>) {
    let own = if index < k { k } else { 0 };
    let own: Vec<Padded> = shares
        .chunks_exact(SHARE)
        .take(own)
        .map(nmt::namespace_of)
        .collect();
    let mut digests = vec![[0; 32]; 2 * k];
    nmt::leaf_digests(shares, &own, &mut digests);
    (own, digests)
}

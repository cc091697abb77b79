//! Repair: the whole square from any cells that suffice, checked against its row and column roots.
//!
//! Source: rsmt2d `extendeddatacrossword.go`. An axis with at least half of its cells is solved; solved axes give cells to those that
//! cross them; and so on until everything is there or nothing moves. Deviation: every axis, decoded ones too, is encoded again and
//! compared, so that a root over cells which are not a codeword is found where rsmt2d would trust the root.

use crate::nmt::{self, Node, Tree, Unordered};
use crate::square::{Axis, ExtendedSquare, axis_leaves, cell_namespace, code, room};
use crate::{MAX_SQUARE_SIZE, SHARE};
use memmap2::MmapMut;
use rayon::prelude::*;

#[derive(Debug)]
pub enum Repaired {
    Square(Box<ExtendedSquare>),
    /// The square was badly encoded: this axis' cells, those known before it was solved, do not make a codeword under its
    /// root, though each of them lies under the root of the axis that crosses it, if the cells given did.
    BadEncoding {
        axis: Axis,
        index: usize,
        shares: Vec<Option<Vec<u8>>>,
        /// For each share whose crossing axis was solved, given or not: the nodes that prove it under that axis' root.
        nodes: Vec<Option<Vec<Node>>>,
    },
    /// Nothing more can be solved; so many cells are known now.
    NotEnough(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairError {
    /// The roots are not 2k row and 2k column roots for a k in range, or the cells not 4k² shares.
    Shape,
    /// The machine has no room for the square.
    Memory,
}

/// The root of the axis whose cells the first k given ones determine; None when it has no tree, because the namespaces of its cells
/// are out of order. All others given are ignored: which k are taken does not depend on what they hold.
pub fn axis_root(
    k: usize,
    axis: Axis,
    index: usize,
    given: &[Option<&[u8]>],
) -> Result<Option<Node>, RepairError> {
    if !k.is_power_of_two()
        || k > MAX_SQUARE_SIZE
        || index >= 2 * k
        || given.len() != 2 * k
        || given.iter().flatten().any(|share| share.len() != SHARE)
        || given.iter().flatten().count() < k
    {
        return Err(RepairError::Shape);
    }
    let mut shares = vec![0; 2 * k * SHARE];
    let mut present = vec![false; 2 * k];
    let found = given
        .iter()
        .enumerate()
        .filter_map(|(at, s)| Some((at, (*s)?)));
    for (at, share) in found.take(k) {
        shares[at * SHARE..][..SHARE].copy_from_slice(share);
        present[at] = true;
    }
    // Through k points goes one codeword: decoded, it needs no encoding.
    code(k).decode(&mut shares, &present);
    let mut digests = vec![[0; 32]; 2 * k];
    Ok(axis_tree_root(k, axis, index, &shares, &mut digests).ok())
}

/// Hashes the 2k shares of an axis into `digests` and makes its root.
fn axis_tree_root(
    k: usize,
    axis: Axis,
    index: usize,
    shares: &[u8],
    digests: &mut [[u8; 32]],
) -> Result<Node, Unordered> {
    // A cell's place decides its namespace, and it is the same for both of its axes.
    let namespace = |at: usize| {
        let (row, column) = match axis {
            Axis::Row => (index, at),
            Axis::Column => (at, index),
        };
        cell_namespace(k, row, column, &shares[at * SHARE..])
    };
    nmt::leaf_digests(shares, digests, namespace);
    let mut leaves: Vec<Node> = digests
        .iter()
        .enumerate()
        .map(|(at, digest)| nmt::leaf(&namespace(at), digest))
        .collect();
    nmt::root(&mut leaves)
}

/// Cells known so far and axes proven so far.
struct Crossword<'a> {
    k: usize,
    cells: MmapMut,
    digests: Vec<[u8; 32]>,
    known: Vec<bool>,
    done: [Vec<bool>; 2],
    roots: [&'a [Node]; 2],
}

/// An axis that could be tried: all its shares with their leaf digests, or None when they do not fit its root.
type Attempt = (usize, Option<(Vec<u8>, Vec<[u8; 32]>)>);

/// `cells` are the 4k² cells, row by row, None where missing. Each given cell should have been verified by its proof: a wrong
/// one makes an honest square look badly encoded.
pub fn repair(
    cells: &[Option<&[u8]>],
    row_roots: &[Node],
    column_roots: &[Node],
) -> Result<Repaired, RepairError> {
    let width = row_roots.len();
    let k = width / 2;
    let fits = k.is_power_of_two()
        && k <= MAX_SQUARE_SIZE
        && 2 * k == width
        && column_roots.len() == width;
    if !fits
        || cells.len() != width * width
        || cells.iter().flatten().any(|share| share.len() != SHARE)
    {
        return Err(RepairError::Shape);
    }
    let mut state = Crossword {
        k,
        cells: room(width * width * SHARE).map_err(|_| RepairError::Memory)?,
        digests: vec![[0; 32]; width * width],
        known: cells.iter().map(Option::is_some).collect(),
        done: [vec![false; width], vec![false; width]],
        roots: [row_roots, column_roots],
    };
    for (to, from) in state.cells.chunks_exact_mut(SHARE).zip(cells) {
        if let Some(share) = from {
            to.copy_from_slice(share);
        }
    }
    loop {
        let mut moved = false;
        for axis in [Axis::Row, Axis::Column] {
            let attempts: Vec<Attempt> = (0..width)
                .into_par_iter()
                .filter(|&index| {
                    !state.done[axis as usize][index] && state.known_in(axis, index) >= k
                })
                .map(|index| (index, state.solve(axis, index)))
                .collect();
            if let Some((index, _)) = attempts.iter().find(|(_, solved)| solved.is_none()) {
                return Ok(Repaired::BadEncoding {
                    axis,
                    index: *index,
                    shares: state.evidence(axis, *index),
                    nodes: state.crossing_proofs(axis, *index),
                });
            }
            moved |= !attempts.is_empty();
            for (index, solved) in attempts {
                let (shares, digests) = solved.expect("the others were returned");
                state.accept(axis, index, &shares, &digests);
            }
        }
        if state.done.iter().flatten().all(|&done| done) {
            let Crossword { cells, digests, .. } = state;
            let square = ExtendedSquare::assemble(
                k,
                cells,
                digests,
                row_roots.to_vec(),
                column_roots.to_vec(),
            );
            return Ok(Repaired::Square(Box::new(square)));
        }
        if !moved {
            return Ok(Repaired::NotEnough(
                state.known.iter().filter(|&&known| known).count(),
            ));
        }
    }
}

impl Crossword<'_> {
    fn cell(&self, axis: Axis, index: usize, at: usize) -> usize {
        match axis {
            Axis::Row => index * 2 * self.k + at,
            Axis::Column => at * 2 * self.k + index,
        }
    }

    fn known_in(&self, axis: Axis, index: usize) -> usize {
        (0..2 * self.k)
            .filter(|&at| self.known[self.cell(axis, index, at)])
            .count()
    }

    fn solve(&self, axis: Axis, index: usize) -> Option<(Vec<u8>, Vec<[u8; 32]>)> {
        let width = 2 * self.k;
        let mut shares = Vec::with_capacity(width * SHARE);
        let present: Vec<bool> = (0..width)
            .map(|at| self.known[self.cell(axis, index, at)])
            .collect();
        for at in 0..width {
            shares.extend_from_slice(&self.cells[self.cell(axis, index, at) * SHARE..][..SHARE]);
        }
        let code = code(self.k);
        if present.contains(&false) {
            code.decode(&mut shares, &present);
        }
        let (data, parity) = shares.split_at(self.k * SHARE);
        let mut encoded = data.to_vec();
        code.encode_in_place(&mut encoded, SHARE);
        if encoded != parity {
            return None;
        }
        let mut digests = vec![[0; 32]; width];
        let root = axis_tree_root(self.k, axis, index, &shares, &mut digests);
        (root == Ok(self.roots[axis as usize][index])).then_some((shares, digests))
    }

    fn accept(&mut self, axis: Axis, index: usize, shares: &[u8], digests: &[[u8; 32]]) {
        for (at, (share, digest)) in shares.chunks_exact(SHARE).zip(digests).enumerate() {
            let cell = self.cell(axis, index, at);
            self.cells[cell * SHARE..][..SHARE].copy_from_slice(share);
            self.digests[cell] = *digest;
            self.known[cell] = true;
        }
        self.done[axis as usize][index] = true;
    }

    fn evidence(&self, axis: Axis, index: usize) -> Vec<Option<Vec<u8>>> {
        (0..2 * self.k)
            .map(|at| self.cell(axis, index, at))
            .map(|cell| self.known[cell].then(|| self.cells[cell * SHARE..][..SHARE].to_vec()))
            .collect()
    }

    fn crossing_proofs(&self, axis: Axis, index: usize) -> Vec<Option<Vec<Node>>> {
        let crossing = match axis {
            Axis::Row => Axis::Column,
            Axis::Column => Axis::Row,
        };
        (0..2 * self.k)
            .into_par_iter()
            .map(|at| {
                self.done[crossing as usize][at].then(|| {
                    let leaves = axis_leaves(self.k, &self.cells, &self.digests, crossing, at);
                    let tree = Tree::new(leaves).expect("a solved axis has a tree");
                    tree.prove(index, index + 1)
                })
            })
            .collect()
    }
}

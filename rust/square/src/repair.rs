//! Repair: the whole square from any cells that suffice, checked against its row and column roots.
//!
//! Source: rsmt2d `extendeddatacrossword.go`. An axis with at least half of its cells is solved; solved axes give cells to those that
//! cross them; and so on until everything is there or nothing moves. Deviation: solving comes first, as far as the original quadrant,
//! and is checked once in the end, by extending that: a square is never returned unless it was extended to the very roots. Only
//! where that fails are axes solved and checked one by one, to find the one that is badly encoded.

use crate::codeword::{self, codeword};
use crate::leopard::Work;
use crate::memory::Memory;
use crate::nmt::Node;
use crate::square::{Axis, ExtendedSquare, code};
use crate::{MAX_SQUARE_SIZE, SHARE};
use rayon::prelude::*;
use std::ops::Range;

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

/// `cells` are the 4k² cells, row by row, None where missing. Each given cell should have been verified by its proof: a wrong
/// one can make an honest square look badly encoded.
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
    let mut crossword = Crossword::new(k, cells)?;
    if crossword.solve(cells) {
        match ExtendedSquare::extend(k, crossword.memory, |_, _| ()) {
            Ok(square)
                if (square.row_roots(), square.column_roots()) == (row_roots, column_roots) =>
            {
                return Ok(Repaired::Square(Box::new(square)));
            }
            _ => (),
        }
    }
    let mut crossword = Crossword::new(k, cells)?;
    crossword.take(cells, 0..width);
    Ok(crossword.find_bad([row_roots, column_roots]))
}

/// The cells known so far.
struct Crossword {
    k: usize,
    memory: Memory,
    /// By rows, and by columns.
    known: [Vec<bool>; 2],
}

impl Crossword {
    fn new(k: usize, given: &[Option<&[u8]>]) -> Result<Self, RepairError> {
        let width = 2 * k;
        let memory = Memory::new(width * width).map_err(|_| RepairError::Memory)?;
        let rows: Vec<bool> = given.iter().map(Option::is_some).collect();
        let columns = (0..width * width)
            .map(|n| rows[n % width * width + n / width])
            .collect();
        Ok(Self {
            k,
            memory,
            known: [rows, columns],
        })
    }

    /// Copies what is given of some rows to its place.
    fn take(&mut self, given: &[Option<&[u8]>], rows: Range<usize>) {
        let width = 2 * self.k;
        let cells = self.memory.parts().cells;
        cells[rows.start * width * SHARE..rows.end * width * SHARE]
            .par_chunks_exact_mut(width * SHARE)
            .zip(given[rows.start * width..].par_chunks_exact(width))
            .for_each(|(cells, given)| {
                for (to, from) in cells.chunks_exact_mut(SHARE).zip(given) {
                    if let Some(share) = from {
                        to.copy_from_slice(share);
                    }
                }
            });
    }

    fn known(&self, axis: Axis, index: usize) -> &[bool] {
        &self.known[axis as usize][index * 2 * self.k..][..2 * self.k]
    }

    fn learn(&mut self, axis: Axis, index: usize) {
        let width = 2 * self.k;
        let [this, other] = match axis {
            Axis::Row => [0, 1],
            Axis::Column => [1, 0],
        };
        self.known[this][index * width..][..width].fill(true);
        for at in 0..width {
            self.known[other][at * width + index] = true;
        }
    }

    /// Solves, unchecked, until the original quadrant is known. False when it cannot be.
    fn solve(&mut self, given: &[Option<&[u8]>]) -> bool {
        let k = self.k;
        // What is known of the original quadrant's own rows, or its columns, is nearly always enough.
        self.take(given, 0..k);
        self.pass(Axis::Row, k);
        if self.original_known() {
            return true;
        }
        self.take(given, k..2 * k);
        self.pass(Axis::Column, k);
        while !self.original_known() {
            let rows = self.pass(Axis::Row, 2 * k);
            let columns = self.pass(Axis::Column, 2 * k);
            if !rows && !columns {
                return false;
            }
        }
        true
    }

    fn original_known(&self) -> bool {
        (0..self.k).all(|row| !self.known(Axis::Row, row)[..self.k].contains(&false))
    }

    /// Solves those of the first `count` axes that miss some of their first `count` cells and can be solved; says if there were any.
    fn pass(&mut self, axis: Axis, count: usize) -> bool {
        let k = self.k;
        let chosen: Vec<usize> = (0..count)
            .filter(|&index| {
                let known = self.known(axis, index);
                known[..count].contains(&false) && enough(known)
            })
            .collect();
        let known = &self.known[axis as usize];
        split(k, self.memory.parts().cells, axis, &chosen)
            .into_par_iter()
            .zip(&chosen)
            .for_each_init(Work::default, |work, (mut shards, index)| {
                code(k).decode(&mut shards, &known[index * 2 * k..][..2 * k], work);
            });
        for &index in &chosen {
            self.learn(axis, index);
        }
        !chosen.is_empty()
    }

    /// Solves axis by axis and compares each with its root until one does not fit.
    fn find_bad(mut self, roots: [&[Node]; 2]) -> Repaired {
        let width = 2 * self.k;
        let mut done = [vec![false; width], vec![false; width]];
        loop {
            let mut moved = false;
            for axis in [Axis::Row, Axis::Column] {
                let roots = roots[axis as usize];
                let chosen: Vec<usize> = (0..width)
                    .filter(|&index| !done[axis as usize][index] && enough(self.known(axis, index)))
                    .collect();
                let solved: Vec<Option<Vec<u8>>> = chosen
                    .par_iter()
                    .map(|&index| self.checked(axis, index, &roots[index]))
                    .collect();
                let bad = chosen
                    .iter()
                    .zip(&solved)
                    .find(|(_, shares)| shares.is_none());
                if let Some((&index, _)) = bad {
                    return self.evidence(axis, index, &done[1 - axis as usize]);
                }
                let cells = self.memory.parts().cells;
                for (axis, shares) in split(self.k, cells, axis, &chosen)
                    .iter_mut()
                    .zip(solved.iter().flatten())
                {
                    for (to, from) in axis.iter_mut().zip(shares.chunks_exact(SHARE)) {
                        to.copy_from_slice(from);
                    }
                }
                for &index in &chosen {
                    self.learn(axis, index);
                    done[axis as usize][index] = true;
                }
                moved |= !chosen.is_empty();
            }
            // Were everything solved and checked, the square would have been extended to its roots before.
            if !moved {
                return Repaired::NotEnough(self.known[0].iter().filter(|&&known| known).count());
            }
        }
    }

    fn given(&self, axis: Axis, index: usize) -> Vec<Option<&[u8]>> {
        let (width, cells) = (2 * self.k, self.memory.cells());
        let cell = |at| match axis {
            Axis::Row => index * width + at,
            Axis::Column => at * width + index,
        };
        let known = self.known(axis, index).iter().enumerate();
        known
            .map(|(at, known)| known.then(|| &cells[cell(at) * SHARE..][..SHARE]))
            .collect()
    }

    /// The codeword through all known cells of an axis if it is the one under its root.
    fn checked(&self, axis: Axis, index: usize, root: &Node) -> Option<Vec<u8>> {
        let given = self.given(axis, index);
        let shares = codeword(self.k, &given);
        let agree = |(share, given): (&[u8], &Option<&[u8]>)| given.is_none_or(|g| g == share);
        let fits = shares.chunks_exact(SHARE).zip(&given).all(agree)
            && codeword::root(self.k, index, &shares).as_ref() == Ok(root);
        fits.then_some(shares)
    }

    /// The cells known of a bad axis, and the proofs of those whose crossing axis is done.
    fn evidence(&self, axis: Axis, index: usize, done: &[bool]) -> Repaired {
        let given = self.given(axis, index);
        let crossing = match axis {
            Axis::Row => Axis::Column,
            Axis::Column => Axis::Row,
        };
        let nodes = (0..2 * self.k)
            .into_par_iter()
            .map(|at| {
                let cells = done[at].then(|| self.given(crossing, at))?;
                let shares = cells.into_iter().flatten().collect::<Vec<_>>().concat();
                let tree = codeword::tree(self.k, at, &shares).ok()?;
                Some(tree.prove(index, index + 1))
            })
            .collect();
        Repaired::BadEncoding {
            axis,
            index,
            shares: given
                .into_iter()
                .map(|share| share.map(<[u8]>::to_vec))
                .collect(),
            nodes,
        }
    }
}

fn enough(known: &[bool]) -> bool {
    known.iter().filter(|&&known| known).count() >= known.len() / 2
}

/// The cells of the chosen axes, in ascending order.
fn split<'a>(
    k: usize,
    cells: &'a mut [u8],
    axis: Axis,
    chosen: &[usize],
) -> Vec<Vec<&'a mut [u8]>> {
    let mut rows = cells.chunks_exact_mut(2 * k * SHARE);
    if axis == Axis::Row {
        let mut next = 0;
        return chosen
            .iter()
            .filter_map(|&index| {
                let row = rows.nth(index - next)?;
                next = index + 1;
                Some(row.chunks_exact_mut(SHARE).collect())
            })
            .collect();
    }
    let mut columns: Vec<Vec<&mut [u8]>> =
        chosen.iter().map(|_| Vec::with_capacity(2 * k)).collect();
    for row in rows {
        let mut cells = row.chunks_exact_mut(SHARE);
        let mut next = 0;
        for (&index, column) in chosen.iter().zip(&mut columns) {
            column.extend(cells.nth(index - next));
            next = index + 1;
        }
    }
    columns
}

//! The extended square: k x k shares, twice extended, with the roots of all its rows and columns.

use crate::leopard::Code;
use crate::nmt::{self, Namespace, NamespaceProof, Node, Tree};
use crate::{MAX_SQUARE_SIZE, PARITY, SHARE};
use memmap2::{MmapMut, MmapOptions};
use rayon::prelude::*;
use std::fmt;
use std::sync::OnceLock;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    Row,
    Column,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SquareError {
    /// The number of bytes is not that of a square of shares whose width is a power of two in range.
    Shape(usize),
    /// The namespaces of an axis are not in order.
    Unordered(Axis, usize),
    /// The machine has no room for the square.
    Memory,
}

impl fmt::Display for SquareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(bytes) => write!(
                f,
                "{bytes} bytes are not a square of {SHARE}-byte shares whose width is a power of two in range"
            ),
            Self::Memory => write!(f, "no memory is left for the extended square"),
            Self::Unordered(axis, index) => {
                write!(f, "the namespaces of {axis:?} {index} are not in order")
            }
        }
    }
}

impl std::error::Error for SquareError {}

/// The code for squares of width `k`, made once.
pub(crate) fn code(k: usize) -> &'static Code {
    static CODES: [OnceLock<Code>; 10] = [const { OnceLock::new() }; 10];
    CODES[k.trailing_zeros() as usize].get_or_init(|| Code::new(k))
}

/// Zeroed memory for cells, in huge pages where the system has them: a square is mostly first touches.
pub(crate) fn room(bytes: usize) -> Result<MmapMut, SquareError> {
    let map = MmapOptions::new()
        .len(bytes)
        .map_anon()
        .map_err(|_| SquareError::Memory)?;
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Ok(map)
}

/// The namespace of a cell in its row's and its column's tree.
pub(crate) fn cell_namespace(k: usize, row: usize, column: usize, share: &[u8]) -> Namespace {
    if row < k && column < k {
        nmt::namespace_of(share)
    } else {
        PARITY
    }
}

#[derive(Debug)]
pub struct ExtendedSquare {
    k: usize,
    /// 2k x 2k shares, row by row.
    cells: MmapMut,
    /// The leaf digest of each cell: the same in its row's tree and its column's.
    digests: Vec<[u8; 32]>,
    row_roots: Vec<Node>,
    column_roots: Vec<Node>,
    data_root: [u8; 32],
}

impl ExtendedSquare {
    /// Extends an original square, given row by row, on all cores.
    ///
    /// 1. Each original row: append its parity, hash its leaves, make its tree.
    /// 2. Each original column: compute its parity.
    /// 3. Each parity row: append its parity, hash and make its tree as in 1.
    /// 4. Each column: make its tree from the leaves hashed in 1 and 3.
    pub fn new(original: &[u8]) -> Result<Self, SquareError> {
        let k = width(original, MAX_SQUARE_SIZE)?;
        let count = k * k;
        let (code, half) = (code(k), k * SHARE);
        let mut cells = room(4 * original.len())?;
        let mut digests = vec![[0u8; 32]; 4 * count];
        let (top, bottom) = cells.split_at_mut(2 * original.len());
        let (top_digests, bottom_digests) = digests.split_at_mut(2 * count);

        let mut row_roots = top
            .par_chunks_exact_mut(2 * half)
            .zip(original.par_chunks_exact(half))
            .zip(top_digests.par_chunks_exact_mut(2 * k))
            .enumerate()
            .map(|(row, ((cells, data), digests))| {
                let (left, right) = cells.split_at_mut(half);
                left.copy_from_slice(data);
                code.encode(data, right, SHARE);
                hash_row(k, row, cells, digests)
            })
            .collect::<Result<Vec<Node>, SquareError>>()?;

        // Each task takes some columns at once, as many as its cache holds.
        let tile = (256 / k).clamp(1, k) * SHARE;
        let mut tiles: Vec<Vec<&mut [u8]>> =
            (0..half / tile).map(|_| Vec::with_capacity(k)).collect();
        for row in bottom.chunks_exact_mut(2 * half) {
            for (tile, cells) in tiles.iter_mut().zip(row[..half].chunks_exact_mut(tile)) {
                tile.push(cells);
            }
        }
        tiles.into_par_iter().enumerate().for_each_init(
            || vec![0u8; k * tile],
            |work, (index, parity)| {
                for (to, row) in work.chunks_exact_mut(tile).zip(original.chunks_exact(half)) {
                    to.copy_from_slice(&row[index * tile..][..tile]);
                }
                code.encode_in_place(work, tile);
                for (cells, from) in parity.into_iter().zip(work.chunks_exact(tile)) {
                    cells.copy_from_slice(from);
                }
            },
        );

        row_roots.par_extend(
            bottom
                .par_chunks_exact_mut(2 * half)
                .zip(bottom_digests.par_chunks_exact_mut(2 * k))
                .enumerate()
                .map(|(row, (cells, digests))| {
                    let (left, right) = cells.split_at_mut(half);
                    code.encode(left, right, SHARE);
                    hash_row(k, k + row, cells, digests).expect("parity rows have one namespace")
                }),
        );

        let column_roots = column_roots(k, &cells, &digests)?;
        Ok(Self::assemble(k, cells, digests, row_roots, column_roots))
    }

    /// A square of these 4k² cells as they are, row by row, which need not be codewords: what a dishonest producer commits to.
    pub fn from_cells(given: &[u8]) -> Result<Self, SquareError> {
        let k = width(given, 2 * MAX_SQUARE_SIZE)? / 2;
        if k == 0 {
            return Err(SquareError::Shape(given.len()));
        }
        let mut cells = room(given.len())?;
        let mut digests = vec![[0u8; 32]; 4 * k * k];
        let row_roots = cells
            .par_chunks_exact_mut(2 * k * SHARE)
            .zip(given.par_chunks_exact(2 * k * SHARE))
            .zip(digests.par_chunks_exact_mut(2 * k))
            .enumerate()
            .map(|(row, ((cells, given), digests))| {
                cells.copy_from_slice(given);
                hash_row(k, row, cells, digests)
            })
            .collect::<Result<Vec<Node>, SquareError>>()?;
        let column_roots = column_roots(k, &cells, &digests)?;
        Ok(Self::assemble(k, cells, digests, row_roots, column_roots))
    }

    pub(crate) fn assemble(
        k: usize,
        cells: MmapMut,
        digests: Vec<[u8; 32]>,
        row_roots: Vec<Node>,
        column_roots: Vec<Node>,
    ) -> Self {
        let data_root = nmt::data_root(row_roots.iter().chain(&column_roots).copied());
        Self {
            k,
            cells,
            digests,
            row_roots,
            column_roots,
            data_root,
        }
    }

    /// The width of the original square.
    pub fn k(&self) -> usize {
        self.k
    }

    pub fn row_roots(&self) -> &[Node] {
        &self.row_roots
    }

    pub fn column_roots(&self) -> &[Node] {
        &self.column_roots
    }

    pub fn data_root(&self) -> &[u8; 32] {
        &self.data_root
    }

    /// The share at a place of the extended square; panics outside.
    pub fn share(&self, row: usize, column: usize) -> &[u8] {
        assert!(row < 2 * self.k && column < 2 * self.k);
        &self.cells[(row * 2 * self.k + column) * SHARE..][..SHARE]
    }

    /// The 2k shares of an axis.
    pub fn axis(&self, axis: Axis, index: usize) -> impl Iterator<Item = &[u8]> {
        (0..2 * self.k).map(move |at| match axis {
            Axis::Row => self.share(index, at),
            Axis::Column => self.share(at, index),
        })
    }

    /// The proof of leaves [start, end) of an axis; panics outside.
    pub fn prove_range(&self, axis: Axis, index: usize, start: usize, end: usize) -> Vec<Node> {
        assert!(start < end && end <= 2 * self.k);
        self.tree(axis, index).prove(start, end)
    }

    /// The proof of all that a row has of a namespace; None when its root's range does not cover it.
    pub fn prove_namespace(&self, row: usize, namespace: &Namespace) -> Option<NamespaceProof> {
        self.tree(Axis::Row, row).prove_namespace(namespace)
    }

    fn tree(&self, axis: Axis, index: usize) -> Tree {
        assert!(index < 2 * self.k);
        Tree::new(axis_leaves(self.k, &self.cells, &self.digests, axis, index))
            .expect("checked when it was made")
    }
}

/// The width of a square of shares: a power of two, at most `limit`.
fn width(shares: &[u8], limit: usize) -> Result<usize, SquareError> {
    let count = shares.len() / SHARE;
    let width = count.isqrt();
    if !shares.len().is_multiple_of(SHARE)
        || width * width != count
        || !width.is_power_of_two()
        || width > limit
    {
        return Err(SquareError::Shape(shares.len()));
    }
    Ok(width)
}

fn column_roots(k: usize, cells: &[u8], digests: &[[u8; 32]]) -> Result<Vec<Node>, SquareError> {
    (0..2 * k)
        .into_par_iter()
        .map(|column| {
            nmt::root(&mut axis_leaves(k, cells, digests, Axis::Column, column))
                .map_err(|_| SquareError::Unordered(Axis::Column, column))
        })
        .collect()
}

fn hash_row(
    k: usize,
    row: usize,
    cells: &[u8],
    digests: &mut [[u8; 32]],
) -> Result<Node, SquareError> {
    let namespace = |column: usize| cell_namespace(k, row, column, &cells[column * SHARE..]);
    nmt::leaf_digests(cells, digests, namespace);
    let mut leaves: Vec<Node> = digests
        .iter()
        .enumerate()
        .map(|(column, digest)| nmt::leaf(&namespace(column), digest))
        .collect();
    nmt::root(&mut leaves).map_err(|_| SquareError::Unordered(Axis::Row, row))
}

/// The leaf nodes of an axis from their digests.
pub(crate) fn axis_leaves(
    k: usize,
    cells: &[u8],
    digests: &[[u8; 32]],
    axis: Axis,
    index: usize,
) -> Vec<Node> {
    (0..2 * k)
        .map(|at| {
            let (row, column) = match axis {
                Axis::Row => (index, at),
                Axis::Column => (at, index),
            };
            let cell = row * 2 * k + column;
            nmt::leaf(
                &cell_namespace(k, row, column, &cells[cell * SHARE..]),
                &digests[cell],
            )
        })
        .collect()
}

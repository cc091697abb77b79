//! The extended square: k x k shares, twice extended, with the roots of all its rows and columns.

use crate::leopard::{Code, Work};
use crate::memory::{Full, Memory, Parts};
use crate::nmt::{self, Level, Namespace, NamespaceProof, Node, Padded, Tree};
use crate::{MAX_SQUARE_SIZE, SHARE};
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

impl From<Full> for SquareError {
    fn from(_: Full) -> Self {
        Self::Memory
    }
}

#[derive(Debug)]
pub struct ExtendedSquare {
    k: usize,
    /// 2k x 2k shares, row by row, and the leaf digest of each, which is the same in its row's tree and its column's.
    memory: Memory,
    row_roots: Vec<Node>,
    column_roots: Vec<Node>,
    data_root: [u8; 32],
}

/// So many columns are worked on together: what lies side by side in memory comes together.
const COLUMNS: usize = 8;

impl ExtendedSquare {
    /// Extends an original square, given row by row, on all cores.
    pub fn new(original: &[u8]) -> Result<Self, SquareError> {
        let k = width(original, MAX_SQUARE_SIZE)?;
        let row = k * SHARE;
        Self::extend(k, Memory::new(4 * k * k)?, |index, cells| {
            cells.copy_from_slice(&original[index * row..][..row]);
        })
    }

    /// Extends the original square that `fill` puts into its rows.
    ///
    /// 1. Each original row: append its parity, hash its leaves, make its tree.
    /// 2. Each original column: compute its parity.
    /// 3. Each parity row: append its parity, hash and make its tree as in 1.
    /// 4. Each column: make its tree from the leaves hashed in 1 and 3.
    pub(crate) fn extend(
        k: usize,
        mut memory: Memory,
        fill: impl Fn(usize, &mut [u8]) + Sync,
    ) -> Result<Self, SquareError> {
        let (code, half) = (code(k), k * SHARE);
        let Parts {
            cells,
            digests,
            own,
        } = memory.parts();
        let (top, bottom) = cells.split_at_mut(2 * k * half);
        let (top_digests, bottom_digests) = digests.split_at_mut(2 * k * k);

        let mut row_roots = top
            .par_chunks_exact_mut(2 * half)
            .zip(top_digests.par_chunks_exact_mut(2 * k))
            .zip(own.par_chunks_exact_mut(k))
            .enumerate()
            .map_init(Tools::default, |tools, (row, ((cells, digests), own))| {
                let (left, right) = cells.split_at_mut(half);
                fill(row, left);
                tools.encode(code, left, right);
                tools
                    .hash_row(cells, own, digests)
                    .map_err(|_| SquareError::Unordered(Axis::Row, row))
            })
            .collect::<Result<Vec<Node>, SquareError>>()?;

        let group = COLUMNS.min(k) * SHARE;
        let mut parity: Vec<Vec<&mut [u8]>> =
            (0..half / group).map(|_| Vec::with_capacity(k)).collect();
        for row in bottom.chunks_exact_mut(2 * half) {
            let groups = row[..half].chunks_exact_mut(group);
            parity
                .iter_mut()
                .zip(groups)
                .for_each(|(to, cells)| to.push(cells));
        }
        parity.into_par_iter().enumerate().for_each_init(
            Work::default,
            |work, (index, mut parity)| {
                for at in (0..group).step_by(SHARE) {
                    let data = top.chunks_exact(2 * half);
                    code.encode(
                        data.map(|row| &row[index * group + at..][..SHARE]),
                        parity.iter_mut().map(|cells| &mut cells[at..][..SHARE]),
                        true,
                        work,
                    );
                }
            },
        );

        row_roots.par_extend(
            bottom
                .par_chunks_exact_mut(2 * half)
                .zip(bottom_digests.par_chunks_exact_mut(2 * k))
                .map_init(Tools::default, |tools, (cells, digests)| {
                    let (left, right) = cells.split_at_mut(half);
                    tools.encode(code, left, right);
                    tools
                        .hash_row(cells, &mut [], digests)
                        .expect("parity rows have one namespace")
                }),
        );
        let column_roots = column_roots(k, memory.own(), memory.digests())?;
        Ok(Self::assemble(k, memory, row_roots, column_roots))
    }

    /// A square of these 4k² cells as they are, row by row, which need not be codewords: what a dishonest producer commits to.
    pub fn from_cells(given: &[u8]) -> Result<Self, SquareError> {
        let k = width(given, 2 * MAX_SQUARE_SIZE)? / 2;
        if k == 0 {
            return Err(SquareError::Shape(given.len()));
        }
        let mut memory = Memory::new(4 * k * k)?;
        let Parts {
            cells,
            digests,
            own,
        } = memory.parts();
        cells.copy_from_slice(given);
        let mut rows: Vec<&mut [Padded]> = own.chunks_exact_mut(k).collect();
        rows.resize_with(2 * k, || &mut []);
        let row_roots = cells
            .par_chunks_exact(2 * k * SHARE)
            .zip(digests.par_chunks_exact_mut(2 * k))
            .zip(rows)
            .enumerate()
            .map_init(Tools::default, |tools, (row, ((cells, digests), own))| {
                tools
                    .hash_row(cells, own, digests)
                    .map_err(|_| SquareError::Unordered(Axis::Row, row))
            })
            .collect::<Result<Vec<Node>, SquareError>>()?;
        let column_roots = column_roots(k, memory.own(), memory.digests())?;
        Ok(Self::assemble(k, memory, row_roots, column_roots))
    }

    fn assemble(k: usize, memory: Memory, row_roots: Vec<Node>, column_roots: Vec<Node>) -> Self {
        let data_root = nmt::data_root(row_roots.iter().chain(&column_roots).copied());
        Self {
            k,
            memory,
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

    /// All 2k x 2k shares, row by row.
    pub fn cells(&self) -> &[u8] {
        self.memory.cells()
    }

    /// The share at a place of the extended square; panics outside.
    pub fn share(&self, row: usize, column: usize) -> &[u8] {
        assert!(row < 2 * self.k && column < 2 * self.k);
        &self.cells()[(row * 2 * self.k + column) * SHARE..][..SHARE]
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
        let (k, digests) = (self.k, self.memory.digests());
        let digests: Vec<[u8; 32]> = match axis {
            Axis::Row => digests[index * 2 * k..][..2 * k].to_vec(),
            Axis::Column => (0..2 * k).map(|row| digests[row * 2 * k + index]).collect(),
        };
        let own = if index < k { k } else { 0 };
        let own: Vec<Padded> = self
            .axis(axis, index)
            .take(own)
            .map(nmt::namespace_of)
            .collect();
        Tree::new(&own, &digests).expect("checked when it was made")
    }
}

/// What a thread works with.
#[derive(Default)]
struct Tools {
    work: Work,
    level: Level,
}

impl Tools {
    fn encode(&mut self, code: &Code, data: &[u8], parity: &mut [u8]) {
        code.encode(
            data.chunks_exact(SHARE),
            parity.chunks_exact_mut(SHARE),
            false,
            &mut self.work,
        );
    }

    /// The root of a row. Writes its own namespaces, of which there are none below the original quadrant, and its leaf digests.
    fn hash_row(
        &mut self,
        cells: &[u8],
        own: &mut [Padded],
        digests: &mut [[u8; 32]],
    ) -> Result<Node, nmt::Unordered> {
        for (namespace, share) in own.iter_mut().zip(cells.chunks_exact(SHARE)) {
            *namespace = nmt::namespace_of(share);
        }
        nmt::leaf_digests(cells, own, digests);
        self.level.leaves(own, digests);
        self.level.root()
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

/// The roots of all columns from the leaf digests of all cells and the namespaces of the original ones, both row by row.
fn column_roots(k: usize, own: &[Padded], digests: &[[u8; 32]]) -> Result<Vec<Node>, SquareError> {
    let together = COLUMNS.min(k);
    let roots: Vec<Vec<Node>> = (0..2 * k / together)
        .into_par_iter()
        .map_init(Default::default, |tools, group| {
            let (level, columns): &mut (Level, Vec<Column>) = tools;
            columns.resize_with(together, Column::default);
            let first = group * together;
            let original = if first < k { k } else { 0 };
            for column in columns.iter_mut() {
                column.own.resize(original, [0; 32]);
                column.digests.resize(2 * k, [0; 32]);
            }
            for (at, row) in own.chunks_exact(k).enumerate().take(original) {
                for (column, namespace) in columns.iter_mut().zip(&row[first..]) {
                    column.own[at] = *namespace;
                }
            }
            for (at, row) in digests.chunks_exact(2 * k).enumerate() {
                for (column, digest) in columns.iter_mut().zip(&row[first..]) {
                    column.digests[at] = *digest;
                }
            }
            let roots = columns.iter().enumerate().map(|(at, column)| {
                level.leaves(&column.own, &column.digests);
                let root = level.root();
                root.map_err(|_| SquareError::Unordered(Axis::Column, first + at))
            });
            roots.collect()
        })
        .collect::<Result<_, SquareError>>()?;
    Ok(roots.into_iter().flatten().collect())
}

#[derive(Default)]
struct Column {
    own: Vec<Padded>,
    digests: Vec<[u8; 32]>,
}

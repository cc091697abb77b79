//! One row or column of an extended square from its first half: what a node needs that keeps half of a square's cells.

use crate::codeword;
use crate::leopard::Work;
use crate::nmt::{Namespace, NamespaceProof, Node, Tree};
use crate::square::{Axis, SquareError, code};
use crate::{MAX_SQUARE_SIZE, SHARE};

/// The 2k cells of an axis and their tree.
pub struct ExtendedAxis {
    shares: Vec<u8>,
    tree: Tree,
}

impl ExtendedAxis {
    /// Appends the parity of `half`, the first k cells of axis `index`, and hashes the 2k of them.
    pub fn new(axis: Axis, index: usize, half: &[u8]) -> Result<Self, SquareError> {
        let k = half.len() / SHARE;
        if !half.len().is_multiple_of(SHARE)
            || !k.is_power_of_two()
            || k > MAX_SQUARE_SIZE
            || index >= 2 * k
        {
            return Err(SquareError::Shape(half.len()));
        }
        let mut shares = vec![0; 2 * half.len()];
        let (first, parity) = shares.split_at_mut(half.len());
        first.copy_from_slice(half);
        code(k).encode(
            half.chunks_exact(SHARE),
            parity.chunks_exact_mut(SHARE),
            false,
            &mut Work::default(),
        );
        let tree =
            codeword::tree(k, index, &shares).map_err(|_| SquareError::Unordered(axis, index))?;
        Ok(Self { shares, tree })
    }

    /// How many cells there are.
    pub fn width(&self) -> usize {
        self.shares.len() / SHARE
    }

    pub fn root(&self) -> &Node {
        self.tree.root()
    }

    /// Cells [start, end); panics outside.
    pub fn shares(&self, start: usize, end: usize) -> impl Iterator<Item = &[u8]> {
        self.shares[start * SHARE..end * SHARE].chunks_exact(SHARE)
    }

    /// The proof of cells [start, end); panics outside.
    pub fn prove_range(&self, start: usize, end: usize) -> Vec<Node> {
        assert!(start < end && end <= self.width());
        self.tree.prove(start, end)
    }

    /// The proof of all that the axis has of a namespace; None when its root's range does not cover it.
    pub fn prove_namespace(&self, namespace: &Namespace) -> Option<NamespaceProof> {
        self.tree.prove_namespace(namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExtendedSquare, NAMESPACE};

    #[test]
    fn agrees_with_the_square() {
        for k in [1, 2, 8, 32] {
            let original: Vec<u8> = (0..k * k)
                .flat_map(|share| {
                    (0..SHARE).map(move |at| {
                        if at < NAMESPACE {
                            1
                        } else {
                            (share * 7 + at) as u8
                        }
                    })
                })
                .collect();
            let square = ExtendedSquare::new(&original).unwrap();
            for index in [0, k - 1, k, 2 * k - 1] {
                for (axis, roots) in [
                    (Axis::Row, square.row_roots()),
                    (Axis::Column, square.column_roots()),
                ] {
                    let cells: Vec<u8> = square.axis(axis, index).flatten().copied().collect();
                    let found = ExtendedAxis::new(axis, index, &cells[..k * SHARE]).unwrap();
                    assert_eq!(found.root(), &roots[index]);
                    assert_eq!(found.shares, cells);
                    assert_eq!(
                        found.prove_range(0, k),
                        square.prove_range(axis, index, 0, k)
                    );
                }
                assert_eq!(
                    ExtendedAxis::new(Axis::Row, index, &row(&square, index))
                        .unwrap()
                        .prove_namespace(&[1; NAMESPACE]),
                    square.prove_namespace(index, &[1; NAMESPACE])
                );
            }
        }
    }

    fn row(square: &ExtendedSquare, index: usize) -> Vec<u8> {
        square
            .axis(Axis::Row, index)
            .take(square.k())
            .flatten()
            .copied()
            .collect()
    }

    #[test]
    fn refuses_what_is_not_half_an_axis() {
        for (index, bytes) in [
            (0, 0),
            (0, 3 * SHARE),
            (0, SHARE - 1),
            (4, 2 * SHARE),
            (0, 1024 * SHARE),
        ] {
            assert!(matches!(
                ExtendedAxis::new(Axis::Row, index, &vec![0; bytes]),
                Err(SquareError::Shape(_))
            ));
        }
        let mut half = vec![0; 2 * SHARE];
        half[0] = 9;
        assert!(matches!(
            ExtendedAxis::new(Axis::Row, 0, &half),
            Err(SquareError::Unordered(Axis::Row, 0))
        ));
    }
}

//! Repair against whoever chooses the cells, which of them are given, and the roots.

use dougong_square::{Axis, ExtendedSquare, Repaired, SHARE, axis_root, repair};

/// A stream of numbers; the generator is Knuth's.
struct Stream(u64);

impl Stream {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % bound
    }

    fn share(&mut self, namespace: usize) -> Vec<u8> {
        let mut share: Vec<u8> = (0..SHARE).map(|_| self.below(256) as u8).collect();
        share[..29].fill(0);
        share[27..29].copy_from_slice(&(namespace as u16).to_be_bytes());
        share
    }
}

fn split(cells: &[u8]) -> Vec<Vec<u8>> {
    cells.chunks_exact(SHARE).map(<[u8]>::to_vec).collect()
}

#[test]
fn no_choice_of_cells_gives_another_square() {
    let (mut squares, mut bad, mut few) = (0, 0, 0);
    for seed in 0..1200u64 {
        let mut stream = Stream(seed);
        let k = 1 << stream.below(5);
        let width = 2 * k;
        let original: Vec<u8> = (0..k * k).flat_map(|n| stream.share(300 + n / 3)).collect();
        let honest = ExtendedSquare::new(&original).unwrap();
        // The producer may commit to cells that are no codeword, whose namespaces stay in order.
        let mut committed = split(honest.cells());
        for _ in 0..[0, 0, 1, 3][stream.below(4)] {
            let place = stream.below(width * width);
            let at = 29 + stream.below(SHARE - 29);
            committed[place][at] ^= 1 << stream.below(8);
        }
        let square = ExtendedSquare::from_cells(&committed.concat()).unwrap();
        let mut roots = [square.row_roots().to_vec(), square.column_roots().to_vec()];
        if stream.below(8) == 0 {
            roots[stream.below(2)][stream.below(width)][stream.below(90)] ^= 1;
        }
        // A careless node may take cells that it did not verify.
        let mut given: Vec<Option<Vec<u8>>> = committed.into_iter().map(Some).collect();
        for _ in 0..[0, 0, 0, 2][stream.below(4)] {
            let (place, namespace) = (stream.below(width * width), stream.below(600));
            given[place] = Some(stream.share(namespace));
        }
        let keep = stream.below(101);
        for cell in &mut given {
            if stream.below(100) >= keep {
                *cell = None;
            }
        }
        let cells: Vec<Option<&[u8]>> = given.iter().map(Option::as_deref).collect();
        match repair(&cells, &roots[0], &roots[1]).unwrap() {
            Repaired::Square(found) => {
                squares += 1;
                assert_eq!(
                    [found.row_roots(), found.column_roots()],
                    [&roots[0][..], &roots[1]]
                );
                assert!(found.cells() == honest.cells(), "seed {seed}");
            }
            Repaired::BadEncoding {
                axis,
                index,
                shares,
                nodes,
            } => {
                bad += 1;
                let known: Vec<usize> = (0..width).filter(|&at| shares[at].is_some()).collect();
                // The codeword through the first k is not under the root; or it is, and another cell lies beside it.
                let shown = (k - 1..known.len()).any(|last| {
                    let mut some: Vec<Option<&[u8]>> = vec![None; width];
                    for &at in known[..k - 1].iter().chain([&known[last]]) {
                        some[at] = shares[at].as_deref();
                    }
                    axis_root(k, axis, index, &some) != Ok(Some(roots[axis as usize][index]))
                });
                assert!(shown, "seed {seed}");
                assert_eq!(nodes.len(), width);
            }
            Repaired::NotEnough(known) => {
                few += 1;
                let given = cells.iter().flatten().count();
                assert!(given <= known && known < width * width, "seed {seed}");
            }
        }
    }
    assert!(
        squares > 200 && bad > 200 && few > 200,
        "{squares} {bad} {few}"
    );
}

#[test]
fn wrong_shapes_are_errors() {
    let square = ExtendedSquare::new(&Stream(1).share(300)).unwrap();
    let cells: Vec<Option<&[u8]>> = square.axis(Axis::Row, 0).map(Some).collect();
    let cells = [cells.clone(), cells].concat();
    let roots = square.row_roots();
    assert!(repair(&cells, roots, square.column_roots()).is_ok());
    for (rows, columns) in [(0, 0), (1, 1), (1, 2), (2, 1), (0, 2)] {
        assert!(repair(&cells, &roots[..rows], &roots[..columns]).is_err());
    }
    for count in 0..4 {
        assert!(repair(&cells[..count], roots, roots).is_err());
    }
    for wrong in [0, 1, SHARE - 1, SHARE + 1] {
        let mut cells = cells.clone();
        let share = vec![0; wrong];
        cells[3] = Some(&share);
        assert!(repair(&cells, roots, roots).is_err());
    }
    for size in [0, 1, SHARE - 1, SHARE + 1, 2 * SHARE, 9 * SHARE, 36 * SHARE] {
        assert!(ExtendedSquare::new(&vec![0; size]).is_err());
        assert!(ExtendedSquare::from_cells(&vec![0; size]).is_err());
    }
    let too_wide = vec![0; 1024 * 1024 * SHARE];
    assert!(ExtendedSquare::new(&too_wide).is_err());
}

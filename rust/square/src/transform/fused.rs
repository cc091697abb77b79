//! Encoding in the fewest passes over memory: the lowest two levels are done while shards are read, and while parity is written, for all
//! lines of a shard with the same matrices; what lies between is done section by section, in the cache nearest to the processor, and
//! the highest levels back and forth at once.

use super::x86::{
    FORWARD, INVERSE, available, forward_four, forward_two, group_of, halves, inverse_four,
    inverse_two, load, matrices, pass, quarters, store,
};
use crate::bytes::{Factor, LINE, Line};
use std::arch::x86_64::*;

/// Shards are read, and written, so many at once: what two levels of butterflies bring together.
const QUAD: usize = 4;

/// So many shards before they are read, they are asked for.
const AHEAD: usize = 2 * QUAD;

type Levels = [Vec<Factor>];

/// Whether this machine, and a code of so many levels, are served here.
pub fn serves(levels: &Levels) -> bool {
    levels.len() > 2 && available()
}

/// From as many data shards as `upper` and `whole` have points to their parity: `inverse` with the factors of `upper`, then `forward`
/// with those of `whole`. `planes` is memory to work in, for the first lines of all shards, then the second, each `stride` lines after
/// the one before. Panics unless `serves` holds of both.
pub fn encode<'d, 'p>(
    data: impl Iterator<Item = &'d [u8]> + Clone,
    parity: impl Iterator<Item = &'p mut [u8]>,
    far: bool,
    (planes, stride): (&mut [Line], usize),
    upper: &Levels,
    whole: &Levels,
) {
    assert!(serves(upper) && upper.len() == whole.len());
    // SAFETY: `serves` found the features.
    unsafe {
        match upper[0][0].wide {
            true => encode_of::<true>(data, parity, far, (planes, stride), upper, whole),
            false => encode_of::<false>(data, parity, far, (planes, stride), upper, whole),
        }
    }
}

#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn encode_of<'d, 'p, const WIDE: bool>(
    data: impl Iterator<Item = &'d [u8]> + Clone,
    mut parity: impl Iterator<Item = &'p mut [u8]>,
    far: bool,
    (planes, stride): (&mut [Line], usize),
    upper: &Levels,
    whole: &Levels,
) {
    let shards = 1 << upper.len();
    let mut ahead = data.clone().skip(AHEAD);
    let mut data = data.map(|shard| shard.as_chunks().0);
    for at in (0..shards).step_by(QUAD) {
        ahead.by_ref().take(QUAD).for_each(fetch);
        let quad = std::array::from_fn(|_| data.next().unwrap_or(&[]));
        read_quad::<WIDE>(quad, planes, stride, at, upper);
    }
    for lines in planes.chunks_exact_mut(stride) {
        turn::<WIDE>(&mut lines[..shards], upper, whole);
    }
    for at in (0..shards).step_by(QUAD) {
        let quad = std::array::from_fn(|_| {
            parity
                .next()
                .map_or(&mut [][..], |shard| shard.as_chunks_mut().0)
        });
        write_quad::<WIDE>(quad, planes, stride, at, whole, far);
    }
    if far {
        _mm_sfence();
    }
}

fn fetch(shard: &[u8]) {
    for line in shard.chunks(LINE) {
        // SAFETY: any address may be asked for, and this one is valid.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
    }
}

/// The lowest two levels of the inverse transform, from four shards into their lines of each plane.
#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn read_quad<const WIDE: bool>(
    quad: [&[[u8; LINE]]; QUAD],
    planes: &mut [Line],
    stride: usize,
    at: usize,
    upper: &Levels,
) {
    let m = group_of::<WIDE>(upper, at / QUAD);
    let [a, b, c, d] = quad;
    let lines = a.iter().zip(b).zip(c.iter().zip(d));
    for (((a, b), (c, d)), plane) in lines.zip(planes.chunks_exact_mut(stride)) {
        // SAFETY: the bytes of a line; the load needs no alignment.
        let values = [a, b, c, d].map(|line| unsafe { _mm512_loadu_si512(line.as_ptr().cast()) });
        for (line, value) in plane[at..][..QUAD]
            .iter_mut()
            .zip(inverse_four::<WIDE>(values, m))
        {
            store(line, value);
        }
    }
}

/// The lowest two levels of the forward transform, from four lines of each plane into their shards.
#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn write_quad<const WIDE: bool>(
    quad: [&mut [[u8; LINE]]; QUAD],
    planes: &[Line],
    stride: usize,
    at: usize,
    whole: &Levels,
    far: bool,
) {
    let m = group_of::<WIDE>(whole, at / QUAD);
    let far = far
        && quad
            .iter()
            .all(|shard| shard.as_ptr().addr().is_multiple_of(LINE));
    let [a, b, c, d] = quad;
    let lines = a.iter_mut().zip(b).zip(c.iter_mut().zip(d));
    for (((a, b), (c, d)), plane) in lines.zip(planes.chunks_exact(stride)) {
        let [va, vb, vc, vd] = [0, 1, 2, 3].map(|lane| load(&plane[at + lane]));
        for (line, value) in [a, b, c, d]
            .into_iter()
            .zip(forward_four::<WIDE>([va, vb, vc, vd], m))
        {
            let to = line.as_mut_ptr().cast();
            // SAFETY: the bytes of a line; past the caches they are written only where they are aligned.
            unsafe {
                match far {
                    true => _mm512_stream_si512(to, value),
                    false => _mm512_storeu_si512(to.cast(), value),
                }
            }
        }
    }
}

/// All levels of the inverse and then of the forward transform but for the lowest two, which are done.
#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn turn<const WIDE: bool>(lines: &mut [Line], upper: &Levels, whole: &Levels) {
    // The highest one or two levels bring the sections together.
    let below = (upper.len() - 1) / 2 * 2;
    let groups = |level: usize| 1 << (below - level - 2);
    for (section, lines) in lines.chunks_exact_mut(1 << below).enumerate() {
        for level in (2..below).step_by(2) {
            pass::<WIDE, INVERSE>(lines, upper, level, section * groups(level));
        }
    }
    if upper.len() - below == 1 {
        let [back, forth] = [upper, whole].map(|levels| matrices::<WIDE>(&levels[below][0]));
        for [x, y] in halves(lines) {
            let [a, b] = forward_two::<WIDE>(inverse_two::<WIDE>([load(x), load(y)], back), forth);
            store(x, a);
            store(y, b);
        }
    } else {
        let [back, forth] = [upper, whole].map(|levels| group_of::<WIDE>(&levels[below..], 0));
        for [a, b, c, d] in quarters(lines) {
            let values = inverse_four::<WIDE>([load(a), load(b), load(c), load(d)], back);
            let values = forward_four::<WIDE>(values, forth);
            for (line, value) in [a, b, c, d].into_iter().zip(values) {
                store(line, value);
            }
        }
    }
    for (section, lines) in lines.chunks_exact_mut(1 << below).enumerate() {
        for level in (2..below).step_by(2).rev() {
            pass::<WIDE, FORWARD>(lines, whole, level, section * groups(level));
        }
    }
}

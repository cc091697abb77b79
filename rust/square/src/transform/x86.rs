//! GFNI applies an 8x8 bit matrix to 64 bytes in one instruction. Two levels at a time: four lines are loaded, taken through the four
//! butterflies between them, and stored.

use crate::bytes::{Factor, Line};
use std::arch::x86_64::*;
use std::sync::LazyLock;

/// Which way a transform goes, known when it is compiled.
pub const INVERSE: bool = true;
pub const FORWARD: bool = false;

pub fn available() -> bool {
    static FOUND: LazyLock<bool> = LazyLock::new(|| {
        !crate::cpu::portable()
            && is_x86_feature_detected!("gfni")
            && is_x86_feature_detected!("avx512bw")
    });
    *FOUND
}

pub fn inverse(lines: &mut [Line], factors: &[Vec<Factor>]) {
    // SAFETY: `available` found the features; callers of this module ask it first.
    unsafe {
        match factors.first().is_some_and(|level| level[0].wide) {
            true => inverse_of::<true>(lines, factors),
            false => inverse_of::<false>(lines, factors),
        }
    }
}

pub fn forward(lines: &mut [Line], factors: &[Vec<Factor>]) {
    // SAFETY: as above.
    unsafe {
        match factors.first().is_some_and(|level| level[0].wide) {
            true => forward_of::<true>(lines, factors),
            false => forward_of::<false>(lines, factors),
        }
    }
}

pub fn differentiate(lines: &mut [Line]) {
    // SAFETY: as above.
    unsafe { differentiate_512(lines) }
}

pub fn multiply(lines: &mut [Line], factor: &Factor) {
    // SAFETY: as above.
    unsafe {
        match factor.wide {
            true => multiply_of::<true>(lines, factor),
            false => multiply_of::<false>(lines, factor),
        }
    }
}

#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
pub fn load(line: &Line) -> __m512i {
    // SAFETY: a line is 64 bytes, aligned.
    unsafe { _mm512_load_si512(line.0.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
pub fn store(line: &mut Line, value: __m512i) {
    // SAFETY: as above.
    unsafe { _mm512_store_si512(line.0.as_mut_ptr().cast(), value) }
}

/// A factor's matrices in the lanes of a line: `[straight, crossed]`, the second for the line with its halves swapped.
pub type Matrices = [__m512i; 2];

#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
pub fn matrices<const WIDE: bool>(factor: &Factor) -> Matrices {
    const HIGH: __mmask8 = 0b1111_0000;
    let [m0, m1, m2, m3] = factor.matrices;
    let straight = _mm512_set1_epi64(m0 as i64);
    if !WIDE {
        return [straight, straight];
    }
    [
        _mm512_mask_set1_epi64(straight, HIGH, m3 as i64),
        _mm512_mask_set1_epi64(_mm512_set1_epi64(m2 as i64), HIGH, m1 as i64),
    ]
}

/// The matrices of a group of four in the lower two of `levels`: of either pair of neighbours, and across the pairs.
#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
pub fn group_of<const WIDE: bool>(levels: &[Vec<Factor>], index: usize) -> [Matrices; 3] {
    let [low, high] = [&levels[0], &levels[1]];
    [
        matrices::<WIDE>(&low[2 * index]),
        matrices::<WIDE>(&low[2 * index + 1]),
        matrices::<WIDE>(&high[index]),
    ]
}

#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn add_to<const WIDE: bool>(x: __m512i, y: __m512i, m: Matrices) -> __m512i {
    let straight = _mm512_gf2p8affine_epi64_epi8::<0>(y, m[0]);
    if !WIDE {
        return _mm512_xor_si512(x, straight);
    }
    let swapped = _mm512_shuffle_i64x2::<0b01_00_11_10>(y, y);
    let crossed = _mm512_gf2p8affine_epi64_epi8::<0>(swapped, m[1]);
    // x ^ straight ^ crossed
    _mm512_ternarylogic_epi64::<0x96>(x, straight, crossed)
}

#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
pub fn inverse_two<const WIDE: bool>([x, y]: [__m512i; 2], m: Matrices) -> [__m512i; 2] {
    let y = _mm512_xor_si512(y, x);
    [add_to::<WIDE>(x, y, m), y]
}

#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
pub fn forward_two<const WIDE: bool>([x, y]: [__m512i; 2], m: Matrices) -> [__m512i; 2] {
    let x = add_to::<WIDE>(x, y, m);
    [x, _mm512_xor_si512(y, x)]
}

#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
pub fn inverse_four<const WIDE: bool>(
    [a, b, c, d]: [__m512i; 4],
    m: [Matrices; 3],
) -> [__m512i; 4] {
    let [a, b] = inverse_two::<WIDE>([a, b], m[0]);
    let [c, d] = inverse_two::<WIDE>([c, d], m[1]);
    let [a, c] = inverse_two::<WIDE>([a, c], m[2]);
    let [b, d] = inverse_two::<WIDE>([b, d], m[2]);
    [a, b, c, d]
}

#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
pub fn forward_four<const WIDE: bool>(
    [a, b, c, d]: [__m512i; 4],
    m: [Matrices; 3],
) -> [__m512i; 4] {
    let [a, c] = forward_two::<WIDE>([a, c], m[2]);
    let [b, d] = forward_two::<WIDE>([b, d], m[2]);
    let [a, b] = forward_two::<WIDE>([a, b], m[0]);
    let [c, d] = forward_two::<WIDE>([c, d], m[1]);
    [a, b, c, d]
}

/// The two halves of a group, side by side.
pub fn halves(group: &mut [Line]) -> impl Iterator<Item = [&mut Line; 2]> {
    let (left, right) = group.split_at_mut(group.len() / 2);
    left.iter_mut().zip(right).map(|(a, b)| [a, b])
}

/// The four quarters of a group, side by side.
pub fn quarters(group: &mut [Line]) -> impl Iterator<Item = [&mut Line; 4]> {
    let (left, right) = group.split_at_mut(group.len() / 2);
    halves(left)
        .zip(halves(right))
        .map(|([a, b], [c, d])| [a, b, c, d])
}

/// Two levels of a transform, `level` and the one above it, over lines that begin with group `first`.
#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
pub fn pass<const WIDE: bool, const WAY: bool>(
    lines: &mut [Line],
    factors: &[Vec<Factor>],
    level: usize,
    first: usize,
) {
    for (index, group) in lines.chunks_exact_mut(4 << level).enumerate() {
        let m = group_of::<WIDE>(&factors[level..], first + index);
        for [a, b, c, d] in quarters(group) {
            let values = [load(a), load(b), load(c), load(d)];
            let values = match WAY {
                INVERSE => inverse_four::<WIDE>(values, m),
                FORWARD => forward_four::<WIDE>(values, m),
            };
            for (line, value) in [a, b, c, d].into_iter().zip(values) {
                store(line, value);
            }
        }
    }
}

/// The highest level, where the number of levels is odd.
#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn highest<const WIDE: bool, const WAY: bool>(lines: &mut [Line], factors: &[Vec<Factor>]) {
    let [level] = factors else { return };
    let m = matrices::<WIDE>(&level[0]);
    for [x, y] in halves(lines) {
        let values = [load(x), load(y)];
        let [a, b] = match WAY {
            INVERSE => inverse_two::<WIDE>(values, m),
            FORWARD => forward_two::<WIDE>(values, m),
        };
        store(x, a);
        store(y, b);
    }
}

#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn inverse_of<const WIDE: bool>(lines: &mut [Line], factors: &[Vec<Factor>]) {
    let paired = factors.len() / 2 * 2;
    for level in (0..paired).step_by(2) {
        pass::<WIDE, INVERSE>(lines, factors, level, 0);
    }
    highest::<WIDE, INVERSE>(lines, &factors[paired..]);
}

#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn forward_of<const WIDE: bool>(lines: &mut [Line], factors: &[Vec<Factor>]) {
    let paired = factors.len() / 2 * 2;
    highest::<WIDE, FORWARD>(lines, &factors[paired..]);
    for level in (0..paired).step_by(2).rev() {
        pass::<WIDE, FORWARD>(lines, factors, level, 0);
    }
}

#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn multiply_of<const WIDE: bool>(lines: &mut [Line], factor: &Factor) {
    let m = matrices::<WIDE>(factor);
    for line in lines {
        let product = add_to::<WIDE>(_mm512_setzero_si512(), load(line), m);
        store(line, product);
    }
}

#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn differentiate_512(lines: &mut [Line]) {
    for index in 1..lines.len() {
        let width = 1 << index.trailing_zeros();
        let (left, right) = lines.split_at_mut(index);
        for (to, from) in left[index - width..].iter_mut().zip(right) {
            let sum = _mm512_xor_si512(load(to), load(from));
            store(to, sum);
        }
    }
}

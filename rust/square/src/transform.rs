//! The additive transform of Lin, Chung and Han over lines, in place: level by level, butterflies between lines that lie 2^level apart.
//! `factors[level][group]` are those of the butterflies in each group of 2^(level+1) lines.

use crate::bytes::{Factor, Line};

/// From values to coefficients; each butterfly y += x, then x += factor * y.
pub fn inverse(lines: &mut [Line], factors: &[Vec<Factor>]) {
    #[cfg(target_arch = "x86_64")]
    if x86::available() {
        return x86::inverse(lines, factors);
    }
    portable::inverse(lines, factors);
}

/// From coefficients to values; each butterfly x += factor * y, then y += x.
pub fn forward(lines: &mut [Line], factors: &[Vec<Factor>]) {
    #[cfg(target_arch = "x86_64")]
    if x86::available() {
        return x86::forward(lines, factors);
    }
    portable::forward(lines, factors);
}

/// The formal derivative in the transform's basis, where the derivative of each basis polynomial is the one without its lowest bits.
pub fn differentiate(lines: &mut [Line]) {
    #[cfg(target_arch = "x86_64")]
    if x86::available() {
        return x86::differentiate(lines);
    }
    portable::differentiate(lines);
}

/// Each line times the factor.
pub fn multiply(lines: &mut [Line], factor: &Factor) {
    #[cfg(target_arch = "x86_64")]
    if x86::available() {
        return x86::multiply(lines, factor);
    }
    portable::multiply(lines, factor);
}

mod portable {
    use super::{Factor, Line};

    pub fn differentiate(lines: &mut [Line]) {
        for index in 1..lines.len() {
            let width = 1 << index.trailing_zeros();
            let (left, right) = lines.split_at_mut(index);
            for (to, from) in left[index - width..].iter_mut().zip(right) {
                to.add(from);
            }
        }
    }

    pub fn multiply(lines: &mut [Line], factor: &Factor) {
        for line in lines {
            let mut product = Line::ZERO;
            product.add_product(line, factor);
            *line = product;
        }
    }

    pub fn inverse(lines: &mut [Line], factors: &[Vec<Factor>]) {
        for (level, factors) in factors.iter().enumerate() {
            for (group, factor) in lines.chunks_exact_mut(2 << level).zip(factors) {
                let (left, right) = group.split_at_mut(1 << level);
                for (x, y) in left.iter_mut().zip(right) {
                    y.add(x);
                    x.add_product(y, factor);
                }
            }
        }
    }

    pub fn forward(lines: &mut [Line], factors: &[Vec<Factor>]) {
        for (level, factors) in factors.iter().enumerate().rev() {
            for (group, factor) in lines.chunks_exact_mut(2 << level).zip(factors) {
                let (left, right) = group.split_at_mut(1 << level);
                for (x, y) in left.iter_mut().zip(right) {
                    x.add_product(y, factor);
                    y.add(x);
                }
            }
        }
    }
}

/// GFNI applies an 8x8 bit matrix to 64 bytes in one instruction. Two levels at a time: four lines are loaded, taken through the
/// four butterflies between them, and stored.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86 {
    use super::{Factor, Line};
    use std::arch::x86_64::*;
    use std::sync::LazyLock;

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
    fn load(line: &Line) -> __m512i {
        // SAFETY: a line is 64 bytes, aligned.
        unsafe { _mm512_load_si512(line.0.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "gfni,avx512f,avx512bw")]
    fn store(line: &mut Line, value: __m512i) {
        // SAFETY: as above.
        unsafe { _mm512_store_si512(line.0.as_mut_ptr().cast(), value) }
    }

    /// The matrices in the lanes of a line: `[straight, crossed]`, the second for the line with its halves swapped.
    #[inline]
    #[target_feature(enable = "gfni,avx512f,avx512bw")]
    fn matrices<const WIDE: bool>(factor: &Factor) -> [__m512i; 2] {
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

    #[inline]
    #[target_feature(enable = "gfni,avx512f,avx512bw")]
    fn add_to<const WIDE: bool>(x: __m512i, y: __m512i, m: [__m512i; 2]) -> __m512i {
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
    fn inverse_one<const WIDE: bool>(x: &mut __m512i, y: &mut __m512i, m: [__m512i; 2]) {
        *y = _mm512_xor_si512(*y, *x);
        *x = add_to::<WIDE>(*x, *y, m);
    }

    #[inline]
    #[target_feature(enable = "gfni,avx512f,avx512bw")]
    fn forward_one<const WIDE: bool>(x: &mut __m512i, y: &mut __m512i, m: [__m512i; 2]) {
        *x = add_to::<WIDE>(*x, *y, m);
        *y = _mm512_xor_si512(*y, *x);
    }

    /// The four quarters of a group, side by side.
    fn quarters(group: &mut [Line]) -> impl Iterator<Item = [&mut Line; 4]> {
        let (left, right) = group.split_at_mut(group.len() / 2);
        let ((a, b), (c, d)) = (
            left.split_at_mut(left.len() / 2),
            right.split_at_mut(right.len() / 2),
        );
        let pairs = a.iter_mut().zip(b).zip(c.iter_mut().zip(d));
        pairs.map(|((a, b), (c, d))| [a, b, c, d])
    }

    #[target_feature(enable = "gfni,avx512f,avx512bw")]
    fn inverse_of<const WIDE: bool>(lines: &mut [Line], factors: &[Vec<Factor>]) {
        let (pairs, last) = factors.as_chunks::<2>();
        for (pass, [low, high]) in pairs.iter().enumerate() {
            for (index, group) in lines.chunks_exact_mut(4 << (2 * pass)).enumerate() {
                let first = matrices::<WIDE>(&low[2 * index]);
                let second = matrices::<WIDE>(&low[2 * index + 1]);
                let both = matrices::<WIDE>(&high[index]);
                for [a_line, b_line, c_line, d_line] in quarters(group) {
                    let (mut a, mut b) = (load(a_line), load(b_line));
                    let (mut c, mut d) = (load(c_line), load(d_line));
                    inverse_one::<WIDE>(&mut a, &mut b, first);
                    inverse_one::<WIDE>(&mut c, &mut d, second);
                    inverse_one::<WIDE>(&mut a, &mut c, both);
                    inverse_one::<WIDE>(&mut b, &mut d, both);
                    store(a_line, a);
                    store(b_line, b);
                    store(c_line, c);
                    store(d_line, d);
                }
            }
        }
        if let [last] = last {
            let half = 1 << (factors.len() - 1);
            for (group, factor) in lines.chunks_exact_mut(2 * half).zip(last) {
                let m = matrices::<WIDE>(factor);
                let (left, right) = group.split_at_mut(half);
                for (x, y) in left.iter_mut().zip(right) {
                    let (mut a, mut b) = (load(x), load(y));
                    inverse_one::<WIDE>(&mut a, &mut b, m);
                    store(x, a);
                    store(y, b);
                }
            }
        }
    }

    #[target_feature(enable = "gfni,avx512f,avx512bw")]
    fn forward_of<const WIDE: bool>(lines: &mut [Line], factors: &[Vec<Factor>]) {
        let (pairs, last) = factors.as_chunks::<2>();
        if let [last] = last {
            let half = 1 << (factors.len() - 1);
            for (group, factor) in lines.chunks_exact_mut(2 * half).zip(last) {
                let m = matrices::<WIDE>(factor);
                let (left, right) = group.split_at_mut(half);
                for (x, y) in left.iter_mut().zip(right) {
                    let (mut a, mut b) = (load(x), load(y));
                    forward_one::<WIDE>(&mut a, &mut b, m);
                    store(x, a);
                    store(y, b);
                }
            }
        }
        for (pass, [low, high]) in pairs.iter().enumerate().rev() {
            for (index, group) in lines.chunks_exact_mut(4 << (2 * pass)).enumerate() {
                let first = matrices::<WIDE>(&low[2 * index]);
                let second = matrices::<WIDE>(&low[2 * index + 1]);
                let both = matrices::<WIDE>(&high[index]);
                for [a_line, b_line, c_line, d_line] in quarters(group) {
                    let (mut a, mut b) = (load(a_line), load(b_line));
                    let (mut c, mut d) = (load(c_line), load(d_line));
                    forward_one::<WIDE>(&mut a, &mut c, both);
                    forward_one::<WIDE>(&mut b, &mut d, both);
                    forward_one::<WIDE>(&mut a, &mut b, first);
                    forward_one::<WIDE>(&mut c, &mut d, second);
                    store(a_line, a);
                    store(b_line, b);
                    store(c_line, c);
                    store(d_line, d);
                }
            }
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Field;

    #[test]
    fn every_kernel_transforms_alike() {
        for field in [Field::gf8(), Field::gf16()] {
            for levels in 0..8usize {
                let points = 1usize << levels;
                let factors: Vec<Vec<Factor>> = (0..levels)
                    .map(|level| {
                        (0..points >> (level + 1))
                            .map(|group| {
                                let first = points + (group << (level + 1));
                                Factor::new(&field, field.skew(level, first))
                            })
                            .collect()
                    })
                    .collect();
                let given: Vec<Line> = (0..points)
                    .map(|n| Line(std::array::from_fn(|i| (n * 59 + i * 37 + n * i) as u8)))
                    .collect();
                let (mut fast, mut slow) = (given.clone(), given.clone());
                inverse(&mut fast, &factors);
                portable::inverse(&mut slow, &factors);
                assert!(fast.iter().zip(&slow).all(|(a, b)| a.0 == b.0));
                forward(&mut fast, &factors);
                portable::forward(&mut slow, &factors);
                assert!(fast.iter().zip(&slow).all(|(a, b)| a.0 == b.0));
                assert!(fast.iter().zip(&given).all(|(a, b)| a.0 == b.0));
            }
            let given: Vec<Line> = (0..16)
                .map(|n| Line(std::array::from_fn(|i| (n * 59 + i * 37 + n * i) as u8)))
                .collect();
            let (mut fast, mut slow) = (given.clone(), given);
            multiply(&mut fast, &Factor::new(&field, 77));
            portable::multiply(&mut slow, &Factor::new(&field, 77));
            assert!(fast.iter().zip(&slow).all(|(a, b)| a.0 == b.0));
            differentiate(&mut fast);
            portable::differentiate(&mut slow);
            assert!(fast.iter().zip(&slow).all(|(a, b)| a.0 == b.0));
        }
    }
}

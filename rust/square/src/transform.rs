//! The additive transform of Lin, Chung and Han over lines, in place: level by level, butterflies between lines that lie 2^level apart.
//! `factors[level][group]` are those of the butterflies in each group of 2^(level+1) lines.

use crate::bytes::{Factor, Line};

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
pub mod fused;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86;

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

//! The binary fields of the Leopard code, GF(2^8) and GF(2^16), in their Cantor bases, and the points of its transform.
//!
//! Elements are written in a Cantor basis: the element with index `i` is the sum of the basis vectors at the bits of `i`, so that
//! addition is XOR of indexes and the first 2^j indexes are a subspace. Logarithms are to the generator x of the field's polynomial.

/// A field of 2^bits elements.
pub struct Field {
    bits: usize,
    /// Logarithm of each nonzero element; of zero, the modulus (never used as a logarithm).
    log: Vec<u16>,
    /// By logarithm, and by the sum of two of them.
    exp: Vec<u16>,
    /// `subspace[j][i]`: the normalised subspace polynomial that vanishes on the first 2^j elements, at basis vector `i`.
    subspace: Vec<Vec<u16>>,
}

const CANTOR_8: [u16; 8] = [1, 214, 152, 146, 86, 200, 88, 230];
const CANTOR_16: [u16; 16] = [
    0x0001, 0xACCA, 0x3C0E, 0x163E, 0xC582, 0xED2E, 0x914C, 0x4012, 0x6C98, 0x10D8, 0x6A72, 0xB900,
    0xFDB8, 0xFB34, 0xFF38, 0x991E,
];

impl Field {
    /// GF(2^8) by x^8 + x^4 + x^3 + x^2 + 1: up to 256 shards in an axis.
    pub fn gf8() -> Self {
        Self::new(0x11D, &CANTOR_8)
    }

    /// GF(2^16) by x^16 + x^5 + x^3 + x^2 + 1: more than 256.
    pub fn gf16() -> Self {
        Self::new(0x1002D, &CANTOR_16)
    }

    fn new(polynomial: usize, basis: &[u16]) -> Self {
        let (bits, order) = (basis.len(), 1 << basis.len());
        let modulus = order - 1;
        // Logarithms in the polynomial basis, by walking the powers of x.
        let mut polynomial_log = vec![modulus as u16; order];
        let mut state = 1usize;
        for power in 0..modulus {
            polynomial_log[state] = power as u16;
            state <<= 1;
            if state >= order {
                state ^= polynomial;
            }
        }
        // From there to Cantor indexes.
        let mut element = vec![0u16; order];
        for (bit, vector) in basis.iter().enumerate() {
            for index in 0..1 << bit {
                element[index + (1 << bit)] = element[index] ^ vector;
            }
        }
        let log: Vec<u16> = element
            .iter()
            .map(|&e| polynomial_log[e as usize])
            .collect();
        let mut exp = vec![0u16; order];
        for (index, &power) in log.iter().enumerate().skip(1) {
            exp[power as usize] = index as u16;
        }
        exp.truncate(modulus);
        exp.extend_from_within(..);
        let mut field = Self {
            bits,
            log,
            exp,
            subspace: Vec::new(),
        };
        let mut values: Vec<u16> = (0..bits).map(|bit| 1 << bit).collect();
        for level in 0..bits {
            field.subspace.push(values.clone());
            // s' = s (s + 1), normalised to be 1 at the next basis vector.
            let raise = |field: &Self, v: u16| field.multiply(v, v ^ 1);
            if level + 1 < bits {
                let unit = raise(&field, values[level + 1]);
                values = values
                    .iter()
                    .map(|&v| field.divide(raise(&field, v), unit))
                    .collect();
            }
        }
        field
    }

    pub fn bits(&self) -> usize {
        self.bits
    }

    /// One less than the number of elements: logarithms are taken modulo this.
    pub fn modulus(&self) -> usize {
        (1 << self.bits) - 1
    }

    pub fn multiply(&self, a: u16, b: u16) -> u16 {
        if a == 0 || b == 0 {
            return 0;
        }
        self.exp[self.log(a) + self.log(b)]
    }

    fn divide(&self, a: u16, b: u16) -> u16 {
        if a == 0 {
            return 0;
        }
        self.exp(self.log(a) + self.modulus() - self.log(b))
    }

    /// Logarithm of a nonzero element.
    pub fn log(&self, a: u16) -> usize {
        self.log[a as usize] as usize
    }

    /// The element whose logarithm is `power`, reduced.
    pub fn exp(&self, power: usize) -> u16 {
        self.exp[power % self.modulus()]
    }

    /// The factor of the butterflies over 2^(level+1) points from `first` on: the level's subspace polynomial at `first`.
    pub fn skew(&self, level: usize, first: usize) -> u16 {
        (level + 1..self.bits)
            .filter(|bit| first >> bit & 1 == 1)
            .fold(0, |sum, bit| sum ^ self.subspace[level][bit])
    }
}

//! PBKDF2 with HMAC-SHA-512 for four passwords at once, in one register: most of what an import of
//! many accounts costs. One password alone gains nothing by it.
//!
//! Only for processors with AVX2 or AVX-512; the caller does without it elsewhere. The tests hold
//! it against the `sha2` crate.

/// Passwords that are worked on together.
pub(super) const LANES: usize = 4;

/// `Hi(password, salt, iterations)` of RFC 5802 section 2.2 with SHA-512 for each of them. `None`
/// where the processor cannot.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn salted(_: &[(&[u8], &[u8]); LANES], _: u32) -> Option<[Vec<u8>; LANES]> {
    None
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::salted;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::LANES;
    use pulp::{
        NullaryFnOnce, u64x4,
        x86::{V3, V4},
    };
    use ring::{digest, hmac};

    /// The hash's state or a part of its message: one word of each password's in each.
    type State = [u64x4; 8];
    type Block = [u64x4; 16];

    /// Bytes of a block.
    const BLOCK: usize = 128;
    /// Bytes of a hash.
    const HASH: usize = 64;

    /// `Hi(password, salt, iterations)` of RFC 5802 section 2.2 with SHA-512 for each of them.
    /// `None` where the processor cannot.
    pub(in super::super) fn salted(
        of: &[(&[u8], &[u8]); LANES],
        iterations: u32,
    ) -> Option<[Vec<u8>; LANES]> {
        Some(derive(V3::try_new()?, V4::try_new(), of, iterations))
    }

    /// The same steps either way; with AVX-512 a rotation is one instruction.
    fn derive(
        narrow: V3,
        wide: Option<V4>,
        of: &[(&[u8], &[u8]); LANES],
        iterations: u32,
    ) -> [Vec<u8>; LANES] {
        let work = Derive { simd: narrow, of, iterations };
        match wide {
            Some(wide) => wide.vectorize(work),
            None => narrow.vectorize(work),
        }
    }

    struct Derive<'a> {
        simd: V3,
        of: &'a [(&'a [u8], &'a [u8]); LANES],
        iterations: u32,
    }

    impl NullaryFnOnce for Derive<'_> {
        type Output = [Vec<u8>; LANES];

        #[inline(always)]
        fn call(self) -> Self::Output {
            let lanes = Lanes(self.simd);
            let keys = self.of.map(|(password, _)| key(password));
            let start = INITIAL.map(|word| lanes.0.splat_u64x4(word));
            let [inner, outer] = [0x36, 0x5c].map(|pad| {
                let padded = keys.map(|key| key.map(|byte| byte ^ pad));
                lanes.compress(&start, &words(&padded))
            });
            let mut last: State = words(&self.of.map(|(password, salt)| first(password, salt)));
            let mut sum = last;
            // a message of one hash after a block: its end and its length in bits
            let mut block: Block = [lanes.0.splat_u64x4(0); 16];
            block[8] = lanes.0.splat_u64x4(1 << 63);
            block[15] = lanes.0.splat_u64x4(8 * (BLOCK + HASH) as u64);
            for _ in 1..self.iterations {
                for state in [&inner, &outer] {
                    for (word, hashed) in block.iter_mut().zip(last) {
                        *word = hashed;
                    }
                    last = lanes.compress(state, &block);
                }
                for (sum, word) in sum.iter_mut().zip(last) {
                    *sum = lanes.xor(*sum, word);
                }
            }
            bytes(&sum)
        }
    }

    /// The key of an HMAC (RFC 2104 section 2).
    fn key(password: &[u8]) -> [u8; BLOCK] {
        let hashed = (password.len() > BLOCK).then(|| digest::digest(&digest::SHA512, password));
        let short = hashed.as_ref().map_or(password, AsRef::as_ref);
        let mut key = [0; BLOCK];
        for (to, from) in key.iter_mut().zip(short) {
            *to = *from;
        }
        key
    }

    /// `U1` of RFC 5802 section 2.2.
    fn first(password: &[u8], salt: &[u8]) -> [u8; HASH] {
        let signed = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA512, password),
            &[salt, 1_u32.to_be_bytes().as_slice()].concat(),
        );
        let mut hash = [0; HASH];
        for (to, from) in hash.iter_mut().zip(signed.as_ref()) {
            *to = *from;
        }
        hash
    }

    /// The words of each, side by side.
    fn words<const BYTES: usize, const WORDS: usize>(of: &[[u8; BYTES]; LANES]) -> [u64x4; WORDS] {
        std::array::from_fn(|n| {
            let [a, b, c, d] = of.each_ref().map(|bytes| {
                let (words, _) = bytes.as_chunks();
                words.get(n).map_or(0, |word| u64::from_be_bytes(*word))
            });
            u64x4(a, b, c, d)
        })
    }

    fn bytes(state: &State) -> [Vec<u8>; LANES] {
        let lane = |of: fn(u64x4) -> u64| state.iter().flat_map(|w| of(*w).to_be_bytes()).collect();
        [lane(|w| w.0), lane(|w| w.1), lane(|w| w.2), lane(|w| w.3)]
    }

    /// Arithmetic on four words at once.
    #[derive(Clone, Copy)]
    struct Lanes(V3);

    impl Lanes {
        #[inline(always)]
        fn add(self, a: u64x4, b: u64x4) -> u64x4 {
            self.0.wrapping_add_u64x4(a, b)
        }

        #[inline(always)]
        fn xor(self, a: u64x4, b: u64x4) -> u64x4 {
            self.0.xor_u64x4(a, b)
        }

        #[inline(always)]
        fn and(self, a: u64x4, b: u64x4) -> u64x4 {
            self.0.and_u64x4(a, b)
        }

        #[inline(always)]
        fn shift<const RIGHT: i32>(self, a: u64x4) -> u64x4 {
            self.0.shr_const_u64x4::<RIGHT>(a)
        }

        /// To the right, and by the rest of 64 to the left.
        #[inline(always)]
        fn rotate<const RIGHT: i32, const LEFT: i32>(self, a: u64x4) -> u64x4 {
            const { assert!(RIGHT + LEFT == 64) };
            self.0.or_u64x4(self.shift::<RIGHT>(a), self.0.shl_const_u64x4::<LEFT>(a))
        }

        /// SHA-512's step for one block (FIPS 180-4 section 6.4.2).
        #[inline(always)]
        fn compress(self, state: &State, block: &Block) -> State {
            let o = self;
            let mut w = *block;
            let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
            for (n, constants) in CONSTANTS.iter().enumerate() {
                for (i, constant) in constants.iter().enumerate() {
                    if n > 0 {
                        let x = w[(i + 1) % 16];
                        let s0 = o.xor(o.rotate::<1, 63>(x), o.rotate::<8, 56>(x));
                        let s0 = o.xor(s0, o.shift::<7>(x));
                        let x = w[(i + 14) % 16];
                        let s1 = o.xor(o.rotate::<19, 45>(x), o.rotate::<61, 3>(x));
                        let s1 = o.xor(s1, o.shift::<6>(x));
                        w[i % 16] = o.add(o.add(w[i % 16], s0), o.add(w[(i + 9) % 16], s1));
                    }
                    let s1 = o.xor(o.rotate::<14, 50>(e), o.rotate::<18, 46>(e));
                    let s1 = o.xor(s1, o.rotate::<41, 23>(e));
                    let chosen = o.xor(g, o.and(e, o.xor(f, g)));
                    let word = o.add(w[i % 16], o.0.splat_u64x4(*constant));
                    let t1 = o.add(o.add(h, s1), o.add(chosen, word));
                    let s0 = o.xor(o.rotate::<28, 36>(a), o.rotate::<34, 30>(a));
                    let s0 = o.xor(s0, o.rotate::<39, 25>(a));
                    let most = o.xor(o.and(o.xor(a, b), o.xor(b, c)), b);
                    (h, g, f, e) = (g, f, e, o.add(d, t1));
                    (d, c, b, a) = (c, b, a, o.add(t1, o.add(s0, most)));
                }
            }
            let mut sum = *state;
            for (sum, new) in sum.iter_mut().zip([a, b, c, d, e, f, g, h]) {
                *sum = o.add(*sum, new);
            }
            sum
        }
    }

    /// FIPS 180-4 section 5.3.5.
    const INITIAL: [u64; 8] = [
        0x6a09_e667_f3bc_c908,
        0xbb67_ae85_84ca_a73b,
        0x3c6e_f372_fe94_f82b,
        0xa54f_f53a_5f1d_36f1,
        0x510e_527f_ade6_82d1,
        0x9b05_688c_2b3e_6c1f,
        0x1f83_d9ab_fb41_bd6b,
        0x5be0_cd19_137e_2179,
    ];

    /// FIPS 180-4 section 4.2.3.
    const CONSTANTS: [[u64; 16]; 5] = [
        [
            0x428a_2f98_d728_ae22,
            0x7137_4491_23ef_65cd,
            0xb5c0_fbcf_ec4d_3b2f,
            0xe9b5_dba5_8189_dbbc,
            0x3956_c25b_f348_b538,
            0x59f1_11f1_b605_d019,
            0x923f_82a4_af19_4f9b,
            0xab1c_5ed5_da6d_8118,
            0xd807_aa98_a303_0242,
            0x1283_5b01_4570_6fbe,
            0x2431_85be_4ee4_b28c,
            0x550c_7dc3_d5ff_b4e2,
            0x72be_5d74_f27b_896f,
            0x80de_b1fe_3b16_96b1,
            0x9bdc_06a7_25c7_1235,
            0xc19b_f174_cf69_2694,
        ],
        [
            0xe49b_69c1_9ef1_4ad2,
            0xefbe_4786_384f_25e3,
            0x0fc1_9dc6_8b8c_d5b5,
            0x240c_a1cc_77ac_9c65,
            0x2de9_2c6f_592b_0275,
            0x4a74_84aa_6ea6_e483,
            0x5cb0_a9dc_bd41_fbd4,
            0x76f9_88da_8311_53b5,
            0x983e_5152_ee66_dfab,
            0xa831_c66d_2db4_3210,
            0xb003_27c8_98fb_213f,
            0xbf59_7fc7_beef_0ee4,
            0xc6e0_0bf3_3da8_8fc2,
            0xd5a7_9147_930a_a725,
            0x06ca_6351_e003_826f,
            0x1429_2967_0a0e_6e70,
        ],
        [
            0x27b7_0a85_46d2_2ffc,
            0x2e1b_2138_5c26_c926,
            0x4d2c_6dfc_5ac4_2aed,
            0x5338_0d13_9d95_b3df,
            0x650a_7354_8baf_63de,
            0x766a_0abb_3c77_b2a8,
            0x81c2_c92e_47ed_aee6,
            0x9272_2c85_1482_353b,
            0xa2bf_e8a1_4cf1_0364,
            0xa81a_664b_bc42_3001,
            0xc24b_8b70_d0f8_9791,
            0xc76c_51a3_0654_be30,
            0xd192_e819_d6ef_5218,
            0xd699_0624_5565_a910,
            0xf40e_3585_5771_202a,
            0x106a_a070_32bb_d1b8,
        ],
        [
            0x19a4_c116_b8d2_d0c8,
            0x1e37_6c08_5141_ab53,
            0x2748_774c_df8e_eb99,
            0x34b0_bcb5_e19b_48a8,
            0x391c_0cb3_c5c9_5a63,
            0x4ed8_aa4a_e341_8acb,
            0x5b9c_ca4f_7763_e373,
            0x682e_6ff3_d6b2_b8a3,
            0x748f_82ee_5def_b2fc,
            0x78a5_636f_4317_2f60,
            0x84c8_7814_a1f0_ab72,
            0x8cc7_0208_1a64_39ec,
            0x90be_fffa_2363_1e28,
            0xa450_6ceb_de82_bde9,
            0xbef9_a3f7_b2c6_7915,
            0xc671_78f2_e372_532b,
        ],
        [
            0xca27_3ece_ea26_619c,
            0xd186_b8c7_21c0_c207,
            0xeada_7dd6_cde0_eb1e,
            0xf57d_4f7f_ee6e_d178,
            0x06f0_67aa_7217_6fba,
            0x0a63_7dc5_a2c8_98a6,
            0x113f_9804_bef9_0dae,
            0x1b71_0b35_131c_471b,
            0x28db_77f5_2304_7d84,
            0x32ca_ab7b_40c7_2493,
            0x3c9e_be0a_15c9_bebc,
            0x431d_67c4_9c10_0d4c,
            0x4cc5_d4be_cb3e_42b6,
            0x597f_299c_fc65_7e2a,
            0x5fcb_6fab_3ad6_faec,
            0x6c44_198c_4a47_5817,
        ],
    ];

    #[cfg(test)]
    mod tests {
        use super::*;
        use proptest::prelude::*;

        fn plain(password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
            let mut out = vec![0; 64];
            pbkdf2::pbkdf2_hmac::<sha2::Sha512>(password, salt, iterations, &mut out);
            out
        }

        proptest! {
            #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

            #[test]
            fn four_at_once_are_what_they_are_alone(
                of in prop::array::uniform4((prop::collection::vec(any::<u8>(), 0..300), prop::collection::vec(any::<u8>(), 0..200))),
                iterations in 1..20_u32,
            ) {
                let all = of.each_ref().map(|(password, salt)| (password.as_slice(), salt.as_slice()));
                let alone = all.map(|(password, salt)| plain(password, salt, iterations));
                // a processor that has neither has nothing to compare
                if let Some(narrow) = V3::try_new() {
                    for wide in [None, V4::try_new()] {
                        prop_assert_eq!(&derive(narrow, wide, &all, iterations), &alone);
                    }
                }
            }
        }
    }
}

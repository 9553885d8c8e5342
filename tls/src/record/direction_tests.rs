//! The key schedule against RFC 8448: keys and IVs of application data, of its sections 3 to 6.

use super::*;

/// Traffic secret, key, IV.
const VECTORS: &[[&str; 3]] = &[
    [
        "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
        "17422dda596ed5d9acd890e3c63f5051",
        "5b78923dee08579033e523d9",
    ],
    [
        "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
        "9f02283b6c9c07efc26bb9f2ac92e356",
        "cf782b88dd83549aadf1e984",
    ],
    [
        "cc21f1bf8feb7dd5fa505bd9c4b468a9984d554a993dc49e6d285598fb672691",
        "e857c690a34c5a9129d833619684f95e",
        "0685d6b561aab9ef1013faf9",
    ],
    [
        "5c74f87df04225db0f8209c9de6429e49435fdefa7cad61864874d12f31cfc8d",
        "f27a5d97bd25550c4823b0f3e5d29388",
        "0dd631f7b71cbbc797c35fe7",
    ],
    [
        "75ecf4b972525aa0dcd057c9944d4cd5d82671d8843141d7dc2a4ff15a21dc51",
        "a7eb2a0525eb4331d58fcbf9f7ca2e9c",
        "86e8be227c1bd2b3e39cb444",
    ],
    [
        "c49a91faf57f8c545d5048a015bf849ff63942e4a7edcd319f8b438a97c52e21",
        "88b3123ddecadf8c1ba298e2c18176b0",
        "4e0978513f9de8327c08e4f3",
    ],
    [
        "73c2e890fa8d067258d6d50fa92fe456b098cf00d9727eed91e8892ef4e6f860",
        "cdc09c806aa8f86dfcd51efc44a0c039",
        "6ef852e78b46d913668e53e7",
    ],
];

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

#[test]
fn keys_and_ivs_are_those_of_rfc_8448() {
    let suite = Suite::Aes128Gcm;
    for [secret, key, iv] in VECTORS {
        let secret = hex(secret);
        let mut made = [0; 16];
        expand_label(suite, &secret, b"key", &mut made).unwrap();
        assert_eq!(made.as_slice(), hex(key));
        let secret = Secret::of(&[&secret]).unwrap();
        let direction = Direction::new(Version::Tls13, suite, secret, 0).unwrap();
        assert_eq!(direction.iv.as_slice(), hex(iv));
        assert_eq!(direction.nonce().as_slice(), hex(iv), "the first nonce is the IV");
    }
}

#[test]
fn a_salt_alone_makes_the_sequence_number_the_explicit_nonce() {
    let key = [1; 16];
    let direction = Direction::tls12(Suite::Aes128Gcm, &key, &[1, 2, 3, 4], 0x0506).unwrap();
    assert_eq!(direction.nonce(), [1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 5, 6]);
    let iv = [1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let direction = Direction::tls12(Suite::Aes128Gcm, &key, &iv, 0x0506).unwrap();
    assert_eq!(direction.nonce(), [1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfa, 0xf9]);
    let long = |iv: &[u8]| Direction::tls12(Suite::ChaCha20Poly1305, &[1; 32], iv, 0).is_ok();
    assert_eq!([4, 11, 12, 13].map(|len| long(&vec![0; len])), [false, false, true, false]);
}

#[test]
fn what_a_connection_occupies() {
    let size = size_of::<super::super::Records>();
    assert!(size <= 1_300, "{size}");
}

//! Adaptor signatures: against the vectors of tests/vectors/adaptor.py, whatever the inputs, and against those who
//! mean harm.
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::hazmat::ExpandedSecretKey;
use ed25519_dalek::{Signature as Dalek, VerifyingKey};
use magicwave::gateway::core::message::Signature;
use magicwave::stellar::adaptor::{
    CheckedKey, LockOffset, LockPoint, LockSecret, PreSignature, adapt, check_shift, extract, pre_sign, pre_verify,
};
use magicwave::stellar::asset::Asset;
use magicwave::stellar::keys::{self, SecretSeed};
use magicwave::stellar::network::NetworkId;
use magicwave::stellar::template::{self, EscrowTerms};
use magicwave::units::Stroops;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use sha2::{Digest, Sha512};

#[test]
fn every_vector_of_the_independent_implementation_holds() {
    let file = vectors();
    let list = file["vectors"].as_array().expect("a list");
    assert_eq!(list.len(), 8);
    for vector in list {
        let seed = SecretSeed::from_bytes(&array(&vector["seed"]));
        let (public, message) = (array(&vector["public"]), bytes(&vector["message"]));
        assert_eq!(seed.public(), public);
        assert_eq!(seed.sign(&message), array::<64>(&vector["plain_signature"]));
        let secret = LockSecret::from_bytes(&array(&vector["secret"])).expect("in range");
        let offset = LockOffset::from_bytes(&array(&vector["offset"])).expect("in range");
        let (point, up) = (secret.point(), secret.point().shift(&offset).expect("no sum"));
        let shifted = secret.shift(&offset).expect("no sum");
        assert_eq!(*shifted.expose(), array(&vector["shifted_secret"]));
        check_shift(&up, &point, &offset).expect("by definition");
        for (secret, point, prefix) in [(secret, point, ""), (shifted, up, "shifted_")] {
            let field = |name: &str| &vector[format!("{prefix}{name}")];
            assert_eq!(point.to_bytes(), array(field("point")));
            assert_eq!(LockPoint::from_bytes(&array(field("point"))), Ok(point));
            let pre = pre_sign(&seed, &message, &point).expect("no chance");
            assert_eq!(pre.to_bytes(), array(field("pre_signature")));
            pre_verify(&public, &message, &point, &pre).expect("own");
            let signature = adapt(&pre, &point, &secret).expect("its secret");
            assert_eq!(signature, array(field("signature")));
            assert!(strictly_valid(&public, &message, &signature));
            assert_eq!(extract(&pre, &signature, &point), Ok(secret));
        }
    }
}

#[test]
fn locks_and_keys_that_are_not_canonical_or_of_small_or_mixed_order_are_refused() {
    let file = vectors();
    let list = file["refused_points"].as_array().expect("a list");
    assert!(list.len() > 50);
    let (point, pre) = (lock(1).point(), pre_sign(&payer(), b"claim", &lock(1).point()).expect("no chance"));
    for entry in list {
        let bytes = array(&entry["bytes"]);
        assert_eq!(LockPoint::from_bytes(&bytes).expect_err("a lock").code, "MW-LOCK-2", "{}", entry["why"]);
        assert_eq!(CheckedKey::from_bytes(&bytes).expect_err("a key").code, "MW-LOCK-3", "{}", entry["why"]);
        assert_eq!(pre_verify(&bytes, b"claim", &point, &pre).expect_err("a key").code, "MW-LOCK-3");
    }
}

#[test]
fn numbers_that_are_zero_or_not_reduced_are_refused() {
    for entry in vectors()["refused_scalars"].as_array().expect("a list") {
        let bytes = array(entry);
        assert_eq!(LockSecret::from_bytes(&bytes).expect_err("a secret").code, "MW-LOCK-1", "{entry}");
        assert_eq!(LockOffset::from_bytes(&bytes).expect_err("an offset").code, "MW-LOCK-1", "{entry}");
    }
}

#[test]
fn pre_signatures_that_mean_harm_are_refused() {
    let file = vectors();
    let case = &file["refused_pre_signatures"];
    let (public, message, point) = (array(&case["public"]), bytes(&case["message"]), array(&case["point"]));
    let point = LockPoint::from_bytes(&point).expect("in order");
    let check =
        |bytes: [u8; 64]| PreSignature::from_bytes(&bytes).and_then(|pre| pre_verify(&public, &message, &point, &pre));
    check(array(&case["honest"])).expect("the honest one");
    let list = case["refused"].as_array().expect("a list");
    assert!(list.len() > 20);
    for entry in list {
        let refused = check(array(&entry["pre_signature"])).expect_err("a harmful one");
        assert_eq!(refused.code, "MW-LOCK-4", "{}", entry["why"]);
    }
}

#[test]
fn a_lock_with_a_torsion_part_would_take_the_payee_in_and_is_refused() {
    // Nothing here goes through our code but the last line: it shows what that line is for.
    let seed = [5; 32];
    let key = ExpandedSecretKey::from(&seed);
    let public = VerifyingKey::from(&key);
    let t = scalar(b"t");
    for torsion in &EIGHT_TORSION[1..] {
        let mixed = EdwardsPoint::mul_base(&t) + torsion;
        assert!(!mixed.is_small_order(), "a check against small orders alone lets it through");
        let k = scalar(b"k");
        let r = (EdwardsPoint::mul_base(&k) + mixed).compress();
        let c = hash(&[r.as_bytes(), public.as_bytes(), b"claim"]);
        let pre = k + c * key.scalar;
        let expected = r.decompress().expect("a point") - mixed + c * EdwardsPoint::mul_base(&key.scalar);
        assert_eq!(EdwardsPoint::mul_base(&pre), expected, "the pre-signature's equation holds");
        assert!(!strictly_valid(public.as_bytes(), b"claim", &signature(&r, &(pre + t))), "the signature does not");
        assert_eq!(LockPoint::from_bytes(mixed.compress().as_bytes()).expect_err("mixed").code, "MW-LOCK-2");
    }
}

#[test]
fn a_payer_whose_key_has_a_torsion_part_is_refused() {
    let key = ExpandedSecretKey::from(&[5; 32]);
    for torsion in &EIGHT_TORSION[1..] {
        let mixed = (EdwardsPoint::mul_base(&key.scalar) + torsion).compress();
        // A payer may grind the message until c is a multiple of 8 and the torsion part of c*A vanishes.
        let (t, k) = (scalar(b"t"), scalar(b"k"));
        let r = (EdwardsPoint::mul_base(&k) + EdwardsPoint::mul_base(&t)).compress();
        let ground = (0u32..)
            .map(|n| (n.to_be_bytes(), hash(&[r.as_bytes(), mixed.as_bytes(), &n.to_be_bytes()])))
            .find(|(_, c)| c.as_bytes()[0] % 8 == 0);
        let (message, c) = ground.expect("one in eight");
        let completed = signature(&r, &(k + c * key.scalar + t));
        assert!(strictly_valid(mixed.as_bytes(), &message, &completed), "dalek takes such a signature");
        let secret = LockSecret::from_bytes(t.as_bytes()).expect("in range");
        let pre = PreSignature::from_bytes(&signature(&r, &(k + c * key.scalar))).expect("reduced");
        let refused = pre_verify(mixed.as_bytes(), &message, &secret.point(), &pre).expect_err("a mixed key");
        assert_eq!(refused.code, "MW-LOCK-3");
    }
}

#[test]
fn no_two_locks_keys_or_messages_share_a_nonce_and_none_is_that_of_a_plain_signature() {
    let mut nonces = Vec::new();
    for seed in [[5; 32], [6; 32]].map(|seed| SecretSeed::from_bytes(&seed)) {
        // A message may itself look like what our hash takes before it.
        for message in [b"".to_vec(), b"claim".to_vec(), [&lock(1).point().to_bytes()[..], &seed.public()].concat()] {
            nonces.push(r_of(&seed.sign(&message)));
            for point in [lock(1).point(), lock(2).point()] {
                let pre = pre_sign(&seed, &message, &point).expect("no chance");
                assert_eq!(pre, pre_sign(&seed, &message, &point).expect("no chance"), "the same call, the same bytes");
                nonces.push(r_of(&pre.to_bytes()) - decompressed(&point));
            }
        }
    }
    for (at, nonce) in nonces.iter().enumerate() {
        // Neither equal nor each other's negative.
        assert!(nonces[at + 1..].iter().all(|other| other != nonce && *other != -nonce));
    }
    // The same nonce under two locks would have given the payer's key: (s1' - s2') / (c1 - c2).
}

#[test]
fn locks_that_cancel_each_other_out_are_refused() {
    let one = LockSecret::from_bytes(Scalar::ONE.as_bytes()).expect("in range");
    let minus_one = LockOffset::from_bytes((-Scalar::ONE).as_bytes()).expect("in range");
    assert_eq!(one.shift(&minus_one).expect_err("zero").code, "MW-LOCK-8");
    assert_eq!(one.point().shift(&minus_one).expect_err("neutral").code, "MW-LOCK-8");
    assert_eq!(LockOffset::between(&minus_one, &minus_one).expect_err("equal").code, "MW-LOCK-8");
    struct Dead;
    impl rand::TryRng for Dead {
        type Error = std::convert::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Ok(0)
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(0)
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            bytes.fill(0);
            Ok(())
        }
    }
    assert_eq!(LockSecret::random(&mut Dead).expect_err("zeros").code, "MW-LOCK-8");
    assert_eq!(LockOffset::random(&mut Dead).expect_err("zeros").code, "MW-LOCK-8");
}

#[test]
fn secrets_locks_and_pre_signatures_do_not_print() {
    let offset = LockOffset::from_bytes(scalar(b"r").as_bytes()).expect("in range");
    let pre = pre_sign(&payer(), b"claim", &lock(1).point()).expect("no chance");
    let key = CheckedKey::from_bytes(&payer().public()).expect("in order");
    assert_eq!(
        format!("{:?} {:?} {offset:?} {pre:?} {key:?}", lock(1), lock(1).point()),
        "LockSecret([…]) LockPoint([…]) LockOffset([…]) PreSignature([…]) CheckedKey([…])"
    );
}

#[test]
fn four_claims_of_a_path_settle_from_the_last_secret_backwards_and_share_nothing() {
    let mut rng = StdRng::seed_from_u64(4);
    let secret = LockSecret::random(&mut rng).expect("random");
    let offsets: Vec<_> = (0..4).map(|_| LockOffset::random(&mut rng).expect("random")).collect();
    let locks: Vec<_> = offsets.iter().map(|r| secret.point().shift(r).expect("no sum")).collect();
    let terms: Vec<_> = (1..=4).map(terms).collect();
    let amount = Stroops::new(70).expect("70");
    let claims: Vec<_> = terms.iter().map(|terms| template::claim(terms, 3, amount).expect("valid").hash()).collect();
    let keys: Vec<_> = (1..=5).map(|n| SecretSeed::from_bytes(&[n; 32])).collect();
    let mut pres = Vec::new();
    for k in 0..4 {
        if k > 0 {
            let d = LockOffset::between(&offsets[k - 1], &offsets[k]).expect("fresh");
            check_shift(&locks[k - 1], &locks[k], &d).expect("as the client says");
            assert_eq!(check_shift(&locks[k], &locks[k - 1], &d).expect_err("swapped").code, "MW-LOCK-7");
            assert_eq!(check_shift(&locks[k - 1], &locks[k], &offsets[k]).expect_err("other").code, "MW-LOCK-7");
        }
        let pre = pre_sign(&keys[k], &claims[k], &locks[k]).expect("no chance");
        pre_verify(&terms[k].payer_signer, &claims[k], &locks[k], &pre).expect("own");
        pres.push(pre);
    }
    // No 32 bytes that two colluding hops see are equal: locks, claims, R and s' of each.
    let seen = locks.iter().map(LockPoint::to_bytes).chain(claims.iter().copied());
    let seen: Vec<_> = seen.chain(pres.iter().flat_map(|pre| pre.to_bytes().as_chunks::<32>().0.to_vec())).collect();
    assert_eq!(seen.len(), 16);
    assert!(seen.iter().enumerate().all(|(at, value)| !seen[at + 1..].contains(value)));
    let mut known = secret.shift(&offsets[3]).expect("no sum");
    for k in (0..4).rev() {
        let signature = adapt(&pres[k], &locks[k], &known).expect("the lock's secret");
        template::verify_claim(&terms[k], 3, amount, &signature).expect("an ordinary signature of the claim");
        template::complete_claim(&terms[k], 3, amount, &signature, &keys[k + 1]).expect("both");
        // The payer sees the signature alone, on the ledger or told, and opens its own lock with it.
        let learned = extract(&pres[k], &signature, &locks[k]).expect("the lock's secret");
        if k > 0 {
            known = learned.shift(&LockOffset::between(&offsets[k - 1], &offsets[k]).expect("fresh")).expect("no sum");
            assert_eq!(known.point(), locks[k - 1]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_pre_signed_is_completed_by_its_secret_alone_and_gives_it_back(
        seeds in any::<[[u8; 32]; 2]>(), entropy in any::<u64>(), message in proptest::collection::vec(any::<u8>(), 0..200),
        flip in any::<prop::sample::Index>(),
    ) {
        prop_assume!(seeds[0] != seeds[1]);
        let mut rng = StdRng::seed_from_u64(entropy);
        let [seed, stranger] = seeds.map(|seed| SecretSeed::from_bytes(&seed));
        let secret = LockSecret::random(&mut rng).expect("random");
        let other = LockSecret::random(&mut rng).expect("random");
        let (public, point) = (seed.public(), secret.point());
        prop_assert_eq!(LockSecret::from_bytes(&secret.expose()).expect("own"), secret.clone());
        prop_assert_eq!(LockPoint::from_bytes(&point.to_bytes()).expect("own"), point);
        let pre = pre_sign(&seed, &message, &point).expect("no chance");
        prop_assert_eq!(PreSignature::from_bytes(&pre.to_bytes()).expect("own"), pre);
        prop_assert!(pre_verify(&public, &message, &point, &pre).is_ok());
        prop_assert!(!strictly_valid(&public, &message, &pre.to_bytes()));
        let signature = adapt(&pre, &point, &secret).expect("its secret");
        prop_assert!(strictly_valid(&public, &message, &signature) && keys::verify(&public, &message, &signature).is_ok());
        prop_assert_eq!(extract(&pre, &signature, &point).expect("complete"), secret.clone());

        // Another key, message, lock, secret.
        let mut longer = message.clone();
        longer.push(0);
        let foreign = [
            pre_verify(&stranger.public(), &message, &point, &pre),
            pre_verify(&public, &longer, &point, &pre),
            pre_verify(&public, &message, &other.point(), &pre),
        ];
        prop_assert!(foreign.iter().all(|refused| refused.as_ref().is_err_and(|e| e.code == "MW-LOCK-4")));
        prop_assert_eq!(adapt(&pre, &point, &other).expect_err("another secret").code, "MW-LOCK-5");
        let under_other = pre_sign(&seed, &message, &other.point()).expect("no chance");
        for (pre, signature, point) in [
            (&pre, seed.sign(&message), point),
            (&pre, pre.to_bytes(), point),
            (&pre, signature, other.point()),
            (&under_other, signature, point),
            (&under_other, signature, other.point()),
            (&pre, malleated(&signature), point),
        ] {
            prop_assert_eq!(extract(pre, &signature, &point).expect_err("another signature").code, "MW-LOCK-6");
        }
        // Any one bit.
        let mut changed = pre.to_bytes();
        let bit = flip.index(512);
        changed[bit / 8] ^= 1 << (bit % 8);
        let refused = PreSignature::from_bytes(&changed).and_then(|pre| pre_verify(&public, &message, &point, &pre));
        prop_assert_eq!(refused.expect_err("a changed bit").code, "MW-LOCK-4");
        let mut changed = signature;
        changed[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(extract(&pre, &changed, &point).expect_err("a changed bit").code, "MW-LOCK-6");
        prop_assert!(PreSignature::from_bytes(&malleated(&pre.to_bytes())).is_err());
    }

    #[test]
    fn a_shifted_lock_is_opened_by_the_shifted_secret(entropy in any::<u64>()) {
        let mut rng = StdRng::seed_from_u64(entropy);
        let secret = LockSecret::random(&mut rng).expect("random");
        let [up, down] = [(); 2].map(|_| LockOffset::random(&mut rng).expect("random"));
        prop_assert_eq!(LockOffset::from_bytes(&up.expose()).expect("own"), up.clone());
        let d = LockOffset::between(&up, &down).expect("fresh");
        let locks = [&up, &down].map(|r| secret.point().shift(r).expect("no sum"));
        prop_assert!(check_shift(&locks[0], &locks[1], &d).is_ok());
        prop_assert_eq!(locks[1].shift(&d).expect("no sum"), locks[0]);
        prop_assert_eq!(secret.shift(&down).and_then(|t| t.shift(&d)).expect("no sum").point(), locks[0]);
        for wrong in [&up, &down, &LockOffset::between(&down, &up).expect("fresh")] {
            prop_assert_eq!(check_shift(&locks[0], &locks[1], wrong).expect_err("another").code, "MW-LOCK-7");
        }
    }

    #[test]
    fn no_bytes_make_anything_panic(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        super::wire_make::adaptor::adaptor(&data);
    }
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/adaptor.json")).expect("json")
}
fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("text")).expect("hex")
}
fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().expect("of this length")
}
fn payer() -> SecretSeed {
    SecretSeed::from_bytes(&[5; 32])
}
fn lock(n: u64) -> LockSecret {
    LockSecret::random(&mut StdRng::seed_from_u64(n)).expect("random")
}
fn hash(parts: &[&[u8]]) -> Scalar {
    let hash = parts.iter().fold(Sha512::new(), |hash, part| hash.chain_update(part));
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}
fn scalar(name: &[u8]) -> Scalar {
    hash(&[name])
}
fn signature(r: &CompressedEdwardsY, s: &Scalar) -> Signature {
    [r.to_bytes(), s.to_bytes()].concat().try_into().expect("64 bytes")
}
fn r_of(signature: &Signature) -> EdwardsPoint {
    CompressedEdwardsY::from_slice(&signature[..32]).expect("32 bytes").decompress().expect("a point")
}
fn decompressed(point: &LockPoint) -> EdwardsPoint {
    CompressedEdwardsY(point.to_bytes()).decompress().expect("a point")
}
/// Stock ed25519, nothing of ours.
fn strictly_valid(public: &[u8; 32], message: &[u8], signature: &Signature) -> bool {
    let key = VerifyingKey::from_bytes(public).expect("a point");
    key.verify_strict(message, &Dalek::from_bytes(signature)).is_ok()
}
/// The same s plus the group order.
fn malleated(signature: &[u8; 64]) -> [u8; 64] {
    const ORDER: [u8; 16] = 0x14de_f9de_a2f7_9cd6_5812_631a_5cf5_d3ed_u128.to_le_bytes();
    let mut out = *signature;
    let mut carry = 0;
    for (at, byte) in out[32..].iter_mut().enumerate() {
        let order = if at == 31 { 0x10 } else { ORDER.get(at).copied().unwrap_or(0) };
        carry += u16::from(*byte) + u16::from(order);
        *byte = (carry & 0xff) as u8;
        carry >>= 8;
    }
    out
}
/// An escrow between neighbour `n` and the next of a path; a claim's hash is all that is needed of it.
fn terms(n: u8) -> EscrowTerms {
    let key = |byte: u8| SecretSeed::from_bytes(&[byte; 32]).public();
    EscrowTerms {
        network: NetworkId::of("adaptor signatures ; 2026"),
        asset: Asset::Native,
        escrow: key(100 + n),
        payer_signer: key(n),
        payer_account: key(50 + n),
        payee_signer: key(n + 1),
        payee_account: key(51 + n),
        created_ledger: 8,
        deposit: Stroops::new(5_000_000_000).expect("500"),
        period_secs: 600,
    }
}

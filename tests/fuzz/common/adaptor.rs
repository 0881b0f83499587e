//! What must hold of locks and pre-signatures for any bytes.
use magicwave::stellar::adaptor::{
    LockOffset, LockPoint, LockSecret, PreSignature, adapt, check_shift, extract, pre_sign, pre_verify,
};
use magicwave::stellar::keys::{self, SecretSeed};

/// Input: a seed's or key's 32 bytes, a lock's or secret's 32, an offset's 32, a pre-signature's 64, a signature's 64,
/// then the message; what is missing is zero.
pub fn adaptor(mut data: &[u8]) {
    let [key, lock, offset] = [(); 3].map(|_| take::<32>(&mut data));
    let [pre, signature] = [(); 2].map(|_| take::<64>(&mut data));
    foreign(&key, &lock, &pre, &signature, data);
    own(&key, &lock, &offset, &pre, data);
}

/// All of it came over a wire.
fn foreign(key: &[u8; 32], lock: &[u8; 32], pre: &[u8; 64], signature: &[u8; 64], message: &[u8]) {
    let (Ok(point), Ok(parsed)) = (LockPoint::from_bytes(lock), PreSignature::from_bytes(pre)) else { return };
    assert_eq!((point.to_bytes(), parsed.to_bytes()), (*lock, *pre), "two encodings of one value");
    let verified = pre_verify(key, message, &point, &parsed).is_ok();
    if let Ok(secret) = extract(&parsed, signature, &point) {
        assert_eq!(secret.point(), point);
        assert_eq!(adapt(&parsed, &point, &secret), Ok(*signature));
        assert!(!verified || keys::verify(key, message, signature).is_ok(), "verified, completed and not valid");
    }
}

/// The seed and the secret are ours; `noise` is what the pre-signature becomes on its way.
fn own(seed: &[u8; 32], secret: &[u8; 32], offset: &[u8; 32], noise: &[u8; 64], message: &[u8]) {
    let (Ok(secret), Ok(offset)) = (LockSecret::from_bytes(secret), LockOffset::from_bytes(offset)) else { return };
    let (seed, point) = (SecretSeed::from_bytes(seed), secret.point());
    let pre = pre_sign(&seed, message, &point).expect("no input makes R vanish");
    assert_eq!(pre_verify(&seed.public(), message, &point, &pre), Ok(()));
    let signature = adapt(&pre, &point, &secret).expect("its own secret");
    assert_eq!(keys::verify(&seed.public(), message, &signature), Ok(()));
    assert_eq!(extract(&pre, &signature, &point), Ok(secret.clone()));
    let mut changed = pre.to_bytes();
    changed.iter_mut().zip(noise).for_each(|(byte, noise)| *byte ^= noise);
    let again = PreSignature::from_bytes(&changed).and_then(|p| pre_verify(&seed.public(), message, &point, &p));
    assert_eq!(again.is_ok(), *noise == [0; 64]);
    match (point.shift(&offset), secret.shift(&offset)) {
        (Ok(up), Ok(shifted)) => {
            assert_eq!((shifted.point(), check_shift(&up, &point, &offset)), (up, Ok(())));
            assert!(check_shift(&point, &up, &offset).is_err() && adapt(&pre, &point, &shifted).is_err());
        }
        (up, shifted) => assert!(up.is_err() && shifted.is_err(), "the lock vanishes and its secret does not"),
    }
}

fn take<const N: usize>(data: &mut &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let (head, rest) = data.split_at(data.len().min(N));
    out[..head.len()].copy_from_slice(head);
    *data = rest;
    out
}

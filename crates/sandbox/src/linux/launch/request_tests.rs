use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::*;

fn sample() -> Request {
    let os = |text: &str| OsString::from(text);
    Request {
        tier: Tier::Hardened,
        engine: Engine::Namespaces,
        weaker: vec![Guarantee::N2, Guarantee::L6],
        limits: Limits { memory: Some(u64::MAX), processes: None, cpu: Some(0), file: Some(7) },
        image: "/usr/bin/env".into(),
        sha256: std::array::from_fn(|place| place as u8),
        guarded: Guarded::Nothing("no lease: EAGAIN".into()),
        arg0: os("env"),
        args: vec![os(""), OsString::from_vec(vec![0xff, 0x0a, 0x80])],
        env: vec![(os("A"), os("1")), (os("SECRET"), OsString::from_vec(vec![1, 2, 0xfe]))],
        directory: Some("/tmp".into()),
        streams: [Stream::Descriptor, Stream::Terminal, Stream::Descriptor],
        has_terminal: true,
        numbers: vec![3, 511, -1, i32::MIN],
        hidden: vec!["/home/u/.local".into(), PathBuf::new()],
        readable: vec!["/opt".into()],
        writable: Vec::new(),
        sockets: vec!["run/x".into()],
        pins: vec!["/a/b".into()],
    }
}

/// xorshift64: the same cases in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

#[test]
fn a_request_is_read_as_it_was_written_and_in_one_allocation() {
    let room = sample().room();
    let body = sample().encode();
    assert!(body.0.len() <= room && body.0.capacity() == room);
    assert_eq!(Request::decode(&body.0), Ok(sample()));
}

#[test]
fn a_request_that_was_cut_or_lengthened_is_refused() {
    let body = sample().encode();
    for length in 0..body.0.len() {
        assert!(Request::decode(&body.0[..length]).is_err(), "{length}");
    }
    let longer = [&body.0[..], &[0]].concat();
    assert_eq!(Request::decode(&longer), Err(Malformed("it does not end where it should")));
}

#[test]
fn no_bytes_make_the_reader_panic_and_what_it_reads_it_would_write() {
    let body = sample().encode();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut read = 0;
    for _ in 0..200_000 {
        let mut bytes = body.0.clone();
        for _ in 0..=random.below(4) {
            let place = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[place] = random.next() as u8,
                1 => bytes[place] ^= 1 << random.below(8),
                2 => bytes.truncate(place.max(1)),
                _ => bytes.insert(place, random.next() as u8),
            }
        }
        if let Ok(request) = Request::decode(&bytes) {
            read += 1;
            // `Nothing` holds text, which is made whole where it was not UTF-8.
            let again = Request::decode(&request.encode().0).expect("its own form");
            assert_eq!(Request::decode(&again.encode().0).map(|_| ()), Ok(()));
        }
    }
    assert!(read > 1000, "the cases reach the end: {read}");
}

#[test]
fn a_count_that_no_bytes_back_makes_nothing() {
    let mut bytes = vec![0, 0];
    bytes.extend(u32::MAX.to_le_bytes());
    assert_eq!(Request::decode(&bytes), Err(Malformed("more items than bytes")));
}

#[test]
fn descriptors_that_are_missing_or_too_many_are_refused() {
    let null = || OwnedFd::from(File::open("/dev/null").expect("a descriptor"));
    for count in [0, 1, 2, 3, 8, 9, 11, 40] {
        let refused = sample().into_spec((0..count).map(|_| null()).collect());
        assert!(matches!(refused, Err(BadRequest::Malformed(_))), "{count}: {refused:?}");
    }
    // As many as it names: the image is what it then looks at, and a device is none.
    let refused = sample().into_spec((0..10).map(|_| null()).collect());
    assert!(matches!(refused, Err(BadRequest::Image(_) | BadRequest::Changed(_))), "{refused:?}");
}

#[test]
fn an_image_with_other_bytes_is_refused() {
    let mut request = sample();
    (request.numbers, request.pins, request.has_terminal) = (Vec::new(), Vec::new(), false);
    let null = || OwnedFd::from(File::open("/dev/null").expect("a descriptor"));
    let image = OwnedFd::from(File::open("/bin/sh").expect("a file"));
    let refused = request.into_spec(vec![null(), image, null(), null()]);
    assert!(matches!(refused, Err(BadRequest::Changed(_))), "{refused:?}");
}

//! Masks standard input to standard output with random secrets, to be timed beside `cat`:
//!
//! `cat big | mask --secrets 10 > /dev/null`

use std::io::{Read as _, Write as _};

use envseal_redact::{Builder, Masker};

fn main() -> std::io::Result<()> {
    let count: u64 =
        std::env::args().skip_while(|arg| arg != "--secrets").nth(1).map_or(10, |n| n.parse().unwrap_or(10));
    let mut builder = Builder::new();
    for number in 0..count {
        // Twenty-four printable characters each, so that the forms differ, by a generator of the simplest kind.
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut letter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            b' ' + (state >> 33) as u8 % 95
        };
        let secret: Vec<u8> = (0..24).map(|_| letter()).collect();
        builder.add(&format!("S{number}"), &secret).map_err(std::io::Error::other)?;
    }
    let mut masker = Masker::new(builder.build());
    let (mut stdin, mut stdout) = (std::io::stdin().lock(), std::io::stdout().lock());
    let (mut chunk, mut out) = (vec![0; 128 << 10], Vec::new());
    loop {
        let read = stdin.read(&mut chunk)?;
        if read == 0 {
            masker.finish(&mut out);
            return stdout.write_all(&out);
        }
        masker.push(&chunk[..read], &mut out);
        stdout.write_all(&out)?;
        out.clear();
    }
}

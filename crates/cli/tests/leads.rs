//! Files that lead a program to other code belong to what is allowed.
#![cfg(unix)]

mod common;

use common::{Home, run};

/// The settings of a virtual environment say where Python finds its own library (PEP 405).
#[test]
fn a_python_whose_environment_was_changed_or_appeared_gets_nothing() {
    let home = Home::new();
    home.store("TOKEN", "a-token-of-some-length");
    run(home.command("python3").args(["-m", "venv", "--without-pip"]).arg(home.path("work/venv"))).ok();
    home.write("work/x.py", "import os\nprint(os.environ['TOKEN'])\n", 0o644);
    let command = ["-s", "TOKEN", "--", "./venv/bin/python", "x.py"];
    let mut allow = vec!["allow"];
    allow.extend(command);
    home.owner(allow).ok().says("pyvenv.cfg is pinned too");
    assert_eq!(run(&mut home.run(command)).ok().stdout(), "[envseal:TOKEN]\n");
    let settings = home.path("work/venv/pyvenv.cfg");
    let before = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, format!("home = /tmp/evil/bin\n{before}")).unwrap();
    run(&mut home.run(command)).status(77).says("pyvenv.cfg has changed");
    std::fs::write(&settings, &before).unwrap();
    run(&mut home.run(command)).ok();
    // The nearer place wins, and was empty.
    let nearer = home.write("work/venv/bin/pyvenv.cfg", "home = /tmp/evil/bin\n", 0o644);
    run(&mut home.run(command)).status(77).says("leads");
    std::fs::remove_file(nearer).unwrap();
    run(&mut home.run(command)).ok();
    std::fs::remove_file(settings).unwrap();
    run(&mut home.run(command)).status(77).says("pyvenv.cfg is missing");
}

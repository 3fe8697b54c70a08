//! What the system's account files say of the group: group(5), gshadow(5), passwd(5), subgid(5).
//!
//! Read as text, because the name service may ask the network and the launcher's group is local.

use std::io;

/// The account files.
pub(super) struct Accounts {
    group: String,
    shadow: String,
    users: String,
    subordinate: String,
}

impl Accounts {
    /// Reads them; those that a system may lack count as empty.
    pub(super) fn read() -> io::Result<Accounts> {
        let lossy = |path| std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let may_lack = |path| match lossy(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            read => read,
        };
        Ok(Accounts {
            group: lossy("/etc/group")?,
            shadow: may_lack("/etc/gshadow")?,
            users: lossy("/etc/passwd")?,
            subordinate: may_lack("/etc/subgid")?,
        })
    }

    /// The number of a group.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        fields(&self.group, name)?.get(2)?.parse().ok()
    }

    /// Why a group lets users in: members, administrators, a password, a user whose own group it is, or a range
    /// that newgidmap(1) may map. `None` when nothing does.
    pub(super) fn way_in(&self, name: &str, number: u32) -> Option<String> {
        let listed = |fields: &Option<Vec<&str>>, place: usize| {
            let list = fields.as_ref()?.get(place)?.trim();
            (!list.is_empty()).then(|| list.to_owned())
        };
        let (group, shadow) = (fields(&self.group, name), fields(&self.shadow, name));
        if let Some(members) = listed(&group, 3).or_else(|| listed(&shadow, 3)) {
            return Some(format!("it has members: {members}"));
        }
        if let Some(administrators) = listed(&shadow, 2) {
            return Some(format!("it has administrators, who can add members: {administrators}"));
        }
        if let Some(user) = self.user_of(number) {
            return Some(format!("it is the group of the user {user}"));
        }
        let password = |fields: &Option<Vec<&str>>| {
            let word = fields.as_ref().and_then(|fields| fields.get(1).copied()).unwrap_or_default();
            // "x" says that gshadow has it; what no hash begins with opens nothing.
            !matches!(word, "" | "x") && !word.starts_with(['!', '*'])
        };
        if password(&group) || password(&shadow) {
            return Some("it has a password, which lets everybody in who knows it".to_owned());
        }
        self.subordinate_to(number)
            .map(|user| format!("{user} may have its number in a user namespace, by /etc/subgid"))
    }

    fn user_of(&self, number: u32) -> Option<&str> {
        let mut users = self.users.lines().map(|line| line.split(':'));
        users.find_map(|mut fields| {
            let name = fields.next()?;
            (fields.nth(2)?.parse() == Ok(number)).then_some(name)
        })
    }

    fn subordinate_to(&self, number: u32) -> Option<&str> {
        self.subordinate.lines().find_map(|line| {
            let mut fields = line.split(':');
            let user = fields.next()?;
            let (first, count): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            (first..first.saturating_add(count)).contains(&number.into()).then_some(user)
        })
    }
}

fn fields<'t>(text: &'t str, name: &str) -> Option<Vec<&'t str>> {
    text.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(group: &str, shadow: &str) -> Accounts {
        Accounts {
            group: format!("root:x:0:\n{group}\n"),
            shadow: format!("root:*::\n{shadow}\n"),
            users: "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n".into(),
            subordinate: "ann:100000:65536\n".into(),
        }
    }

    #[test]
    fn a_group_without_members_lets_nobody_in() {
        for (group, shadow) in [
            ("envseal:x:990:", "envseal:!::"),
            ("envseal:x:990:", ""),
            ("envseal:!:990:", "envseal:*::"),
            ("envseal::990:", "envseal:::"),
        ] {
            let accounts = accounts(group, shadow);
            assert_eq!(accounts.number("envseal"), Some(990));
            assert_eq!(accounts.way_in("envseal", 990), None, "{group} {shadow}");
        }
        assert_eq!(accounts("", "").number("envseal"), None);
        assert_eq!(accounts("envseal:x:many:", "").number("envseal"), None);
    }

    #[test]
    fn every_way_into_a_group_is_named() {
        for (group, shadow, number, says) in [
            ("envseal:x:990:ann,bob", "envseal:!::", 990, "members: ann,bob"),
            ("envseal:x:990:", "envseal:!::ann", 990, "members: ann"),
            ("envseal:x:990:", "envseal:!:ann:", 990, "administrators"),
            ("envseal:x:990:", "envseal:$y$j9T$abc:: ", 990, "password"),
            ("envseal:Kx7aB:990:", "", 990, "password"),
            ("envseal:x:1000:", "envseal:!::", 1000, "the user ann"),
            ("envseal:x:165535:", "envseal:!::", 165_535, "/etc/subgid"),
        ] {
            let why = accounts(group, shadow).way_in("envseal", number).unwrap_or_default();
            assert!(why.contains(says), "{group} {shadow}: {why:?}");
        }
    }
}

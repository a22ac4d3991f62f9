//! What a file of the program uses, read from its text: tokens, modules, imports, and the file in which a path's item stands.

use std::collections::{BTreeMap, HashMap};

/// The files of one crate by their path, such as `src/store/mod.rs`, with their text.
pub type Files = BTreeMap<String, String>;

/// A module: a file, or a part of one.
#[derive(Default)]
struct Module {
    file: String,
    parent: Option<usize>,
    children: HashMap<String, usize>,
    /// Names that `use` brings in, with the path that each stands for.
    names: HashMap<String, Vec<String>>,
    /// The same as a list: path, and whether the name is given on (`pub use`).
    imports: Vec<(Vec<String>, bool)>,
    /// Paths that end with `*`, and whether they are given on.
    globs: Vec<(Vec<String>, bool)>,
    /// What is left of the text: without `use`, `mod`, attributes and unit tests.
    code: Vec<String>,
}

/// All modules of all crates.
#[derive(Default)]
pub struct Program {
    modules: Vec<Module>,
    /// The root module of each crate by the name that others call it by.
    crates: HashMap<String, usize>,
}

/// Where a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Module(usize),
    /// An item that stands in this module.
    Item(usize),
}

/// Re-exports that are followed in a row.
const STEPS: usize = 20;

impl Program {
    /// Reads a crate whose root is `folder/lib.rs`.
    pub fn add(&mut self, name: &str, folder: &str, files: &Files) {
        let root = self.file(&format!("{folder}/lib.rs"), folder, None, files);
        self.crates.insert(name.to_owned(), root);
    }

    fn file(&mut self, path: &str, folder: &str, parent: Option<usize>, files: &Files) -> usize {
        let text = files.get(path).unwrap_or_else(|| panic!("no file {path}"));
        self.module(path, folder, parent, &without_tests(&tokens(text)), files)
    }

    /// Reads a module from its tokens; the files of its children stand in `folder`.
    fn module(&mut self, file: &str, folder: &str, parent: Option<usize>, tokens: &[String], files: &Files) -> usize {
        let id = self.modules.len();
        self.modules.push(Module {
            file: file.to_owned(),
            parent,
            ..Module::default()
        });
        let mut at = 0;
        while at < tokens.len() {
            match (tokens[at].as_str(), tokens.get(at + 2).map(String::as_str)) {
                ("mod", Some(";")) => {
                    let name = &tokens[at + 1];
                    let below = format!("{folder}/{name}");
                    let paths = [format!("{below}.rs"), format!("{below}/mod.rs")];
                    if let Some(path) = paths.iter().find(|path| files.contains_key(*path)) {
                        let child = self.file(path, &below, Some(id), files);
                        self.modules[id].children.insert(name.clone(), child);
                    }
                    at += 3;
                }
                ("mod", Some("{")) => {
                    let name = &tokens[at + 1];
                    let end = closing(tokens, at + 2);
                    let below = format!("{folder}/{name}");
                    let child = self.module(file, &below, Some(id), &tokens[at + 3..end], files);
                    self.modules[id].children.insert(name.clone(), child);
                    at = end + 1;
                }
                // `use<'a>` is a bound.
                ("use", _) if tokens[at + 1] != "<" => {
                    let is_given_on = match at.checked_sub(1).map(|before| tokens[before].as_str()) {
                        Some("pub") => true,
                        Some(")") => tokens[at.saturating_sub(6)..at].iter().any(|token| token == "pub"),
                        _ => false,
                    };
                    let mut found = Vec::new();
                    at = used(tokens, at + 1, &[], &mut found) + 1;
                    self.import(id, found, is_given_on);
                }
                _ => {
                    self.modules[id].code.push(tokens[at].clone());
                    at += 1;
                }
            }
        }
        id
    }

    fn import(&mut self, id: usize, found: Vec<(Vec<String>, String)>, is_given_on: bool) {
        let module = &mut self.modules[id];
        for (path, name) in found {
            match name.as_str() {
                "*" => module.globs.push((path, is_given_on)),
                "_" => module.imports.push((path, false)),
                _ => {
                    module.names.insert(name, path.clone());
                    module.imports.push((path, is_given_on));
                }
            }
        }
    }

    /// Where `path`, written in the module `id`, leads; nothing for what is not of this program.
    fn find(&self, id: usize, path: &[String], steps: usize) -> Option<Found> {
        let first = path.first()?.as_str();
        let module = &self.modules[id];
        match first {
            _ if steps > STEPS => None,
            "crate" => {
                let mut root = id;
                while let Some(parent) = self.modules[root].parent {
                    root = parent;
                }
                self.find_in(root, &path[1..], steps)
            }
            "self" => self.find_in(id, &path[1..], steps),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let up = (0..ups).try_fold(id, |at, _| self.modules[at].parent)?;
                self.find_in(up, &path[ups..], steps)
            }
            _ if module.children.contains_key(first) => self.find_in(id, path, steps),
            _ => match module.names.get(first) {
                Some(meant) if meant.len() == 1 && meant[0] == first => {
                    let root = self.crates.get(first)?;
                    self.find_in(*root, &path[1..], steps)
                }
                Some(meant) => {
                    let whole: Vec<String> = meant.iter().chain(&path[1..]).cloned().collect();
                    self.find(id, &whole, steps + 1)
                }
                None => match self.crates.get(first) {
                    Some(root) => self.find_in(*root, &path[1..], steps),
                    None => self.find_by_glob(id, path, steps),
                },
            },
        }
    }

    /// Where a path leads whose first name came in with a `*`.
    fn find_by_glob(&self, id: usize, path: &[String], steps: usize) -> Option<Found> {
        // A `*` of another library is not looked into, so that two of them do not lead to each other.
        let is_ours = |name: &String| {
            let module = &self.modules[id];
            matches!(name.as_str(), "crate" | "self" | "super")
                || module.children.contains_key(name)
                || module.names.contains_key(name)
                || self.crates.contains_key(name)
        };
        let globs = self.modules[id].globs.iter().filter(|(glob, _)| is_ours(&glob[0]));
        globs.into_iter().find_map(|(glob, _)| {
            let Some(Found::Module(other)) = self.find(id, glob, steps + 1) else {
                return None;
            };
            let module = &self.modules[other];
            let is_there = module.children.contains_key(&path[0]) || module.names.contains_key(&path[0]);
            is_there.then(|| self.find_in(other, path, steps + 1)).flatten()
        })
    }

    fn find_in(&self, id: usize, path: &[String], steps: usize) -> Option<Found> {
        let mut at = id;
        for (place, part) in path.iter().enumerate() {
            let module = &self.modules[at];
            if let Some(child) = module.children.get(part) {
                at = *child;
                continue;
            }
            if let Some(meant) = module.names.get(part) {
                let whole: Vec<String> = meant.iter().chain(&path[place + 1..]).cloned().collect();
                return self.find(at, &whole, steps + 1);
            }
            let given_on = module.globs.iter().filter(|(_, is_given_on)| *is_given_on);
            for (glob, _) in given_on {
                if let Some(Found::Module(other)) = self.find(at, glob, steps + 1)
                    && self.defines(other, part)
                {
                    return Some(Found::Item(other));
                }
            }
            return Some(Found::Item(at));
        }
        Some(Found::Module(at))
    }

    fn defines(&self, id: usize, name: &str) -> bool {
        const KINDS: [&str; 8] = ["fn", "struct", "enum", "const", "static", "type", "trait", "union"];
        let code = &self.modules[id].code;
        code.windows(2)
            .any(|pair| KINDS.contains(&pair[0].as_str()) && pair[1] == name)
    }

    /// The uses of each file: which other file, and by which path.
    pub fn uses(&self) -> BTreeMap<&str, BTreeMap<&str, String>> {
        let mut uses: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
        for (id, module) in self.modules.iter().enumerate() {
            for (path, is_glob) in self.paths(id) {
                let file = match self.find(id, &path, 0) {
                    Some(Found::Item(other)) => &self.modules[other].file,
                    Some(Found::Module(other)) if is_glob => &self.modules[other].file,
                    _ => continue,
                };
                if *file != module.file {
                    let of_file = uses.entry(&module.file).or_default();
                    of_file.entry(file).or_insert_with(|| path.join("::"));
                }
            }
        }
        uses
    }

    /// Every path that a module uses: what it imports for itself, and what its code names.
    fn paths(&self, id: usize) -> Vec<(Vec<String>, bool)> {
        let module = &self.modules[id];
        let mut paths: Vec<(Vec<String>, bool)> = Vec::new();
        for (path, is_given_on) in &module.imports {
            // A name that is given on is used where it is used; here only if the code names it too.
            let name = path.last().map_or("", String::as_str);
            if !is_given_on || module.code.iter().any(|token| token == name) {
                paths.push((path.clone(), false));
            }
        }
        let own = module.globs.iter().filter(|(_, is_given_on)| !is_given_on);
        paths.extend(own.map(|(path, _)| (path.clone(), true)));
        let (code, mut at) = (&module.code, 0);
        while at < code.len() {
            let mut path = vec![code[at].clone()];
            at += 1;
            if !is_name(&path[0]) {
                continue;
            }
            while at + 1 < code.len() && code[at] == "::" && is_name(&code[at + 1]) {
                path.push(code[at + 1].clone());
                at += 2;
            }
            if path.len() > 1 {
                paths.push((path, false));
            }
        }
        paths
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The place of the bracket that closes the one at `open`.
fn closing(tokens: &[String], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    panic!("a bracket that nothing closes");
}

/// Reads a tree of `use` from `at`; gives the place after it. Each leaf is a path with the name that it has here.
fn used(tokens: &[String], mut at: usize, before: &[String], found: &mut Vec<(Vec<String>, String)>) -> usize {
    let mut path = before.to_vec();
    loop {
        match tokens[at].as_str() {
            "::" => at += 1,
            "*" => {
                found.push((path, "*".to_owned()));
                return at + 1;
            }
            "{" => {
                at += 1;
                while tokens[at] != "}" {
                    at = used(tokens, at, &path, found);
                    if tokens[at] == "," {
                        at += 1;
                    }
                }
                return at + 1;
            }
            part => {
                if part != "self" || path.is_empty() {
                    path.push(part.to_owned());
                }
                at += 1;
                if tokens[at] == "::" {
                    continue;
                }
                let renamed = tokens[at] == "as";
                let name = if renamed {
                    &tokens[at + 1]
                } else {
                    &path[path.len() - 1]
                };
                found.push((path.clone(), name.clone()));
                return at + if renamed { 2 } else { 0 };
            }
        }
    }
}

/// The tokens without attributes, and without items that are compiled for unit tests only.
fn without_tests(tokens: &[String]) -> Vec<String> {
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let is_attribute = tokens[at] == "#" && tokens.get(at + 1).is_some_and(|next| next == "[");
        if !is_attribute {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let end = closing(tokens, at + 1);
        let is_test = tokens[at + 2..end] == ["cfg", "(", "test", ")"];
        at = end + 1;
        if is_test {
            at = item_end(tokens, at);
        }
    }
    kept
}

/// The place after the item at `at`, with its further attributes.
fn item_end(tokens: &[String], mut at: usize) -> usize {
    while tokens[at] == "#" {
        at = closing(tokens, at + 1) + 1;
    }
    loop {
        match tokens[at].as_str() {
            "{" => return closing(tokens, at) + 1,
            "(" | "[" => at = closing(tokens, at) + 1,
            ";" | "," => return at + 1,
            _ => at += 1,
        }
    }
}

/// Names, `::` and single signs; comments, texts, numbers and lifetimes are left out.
pub fn tokens(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let (mut found, mut at) = (Vec::new(), 0);
    let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
    while at < letters.len() {
        let rest = &letters[at..];
        match (rest[0], rest.get(1).copied().unwrap_or(' ')) {
            ('/', '/') => at += rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ('/', '*') => at += comment(rest),
            ('"', _) => at += quoted(rest),
            ('b', '"') => at += 1 + quoted(&rest[1..]),
            ('b', '\'') => at += 1,
            ('r', '"' | '#') if raw(rest).is_some() => at += raw(rest).unwrap_or(1),
            ('b', 'r') if raw(&rest[1..]).is_some() => at += 1 + raw(&rest[1..]).unwrap_or(1),
            // After the sign that is escaped, which may be a quote itself.
            ('\'', '\\') => at += 4 + rest[3..].iter().position(|c| *c == '\'').unwrap_or(0),
            ('\'', _) if rest.get(2) == Some(&'\'') => at += 3,
            ('\'', _) => at += 1 + rest[1..].iter().take_while(|c| is_word(c)).count(),
            (':', ':') => {
                found.push("::".to_owned());
                at += 2;
            }
            (c, _) if c.is_ascii_digit() => at += rest.iter().take_while(|c| is_word(c)).count(),
            (c, _) if is_word(&c) => {
                let word: String = rest.iter().take_while(|c| is_word(c)).collect();
                at += word.chars().count();
                found.push(word);
            }
            (c, _) => {
                if !c.is_whitespace() {
                    found.push(c.to_string());
                }
                at += 1;
            }
        }
    }
    found
}

/// Length of a comment that begins here; one may stand in another.
fn comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at + 1 < rest.len() {
        match (rest[at], rest[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Length of a text in quotes that begins here.
fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of a raw text that begins here, if one does.
fn raw(rest: &[char]) -> Option<usize> {
    let signs = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + signs) != Some(&'"') {
        return None;
    }
    let mut at = signs + 2;
    while at < rest.len() {
        if rest[at] == '"' && rest[at + 1..].iter().take(signs).filter(|c| **c == '#').count() == signs {
            return Some(at + 1 + signs);
        }
        at += 1;
    }
    None
}

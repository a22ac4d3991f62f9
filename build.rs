//! The migrations are built into the program; without this a new one would not be seen.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}

//! `causeway synth`: synthetic members as NDJSON, one file for each type.

use crate::error::{Failure, Fault};
use crate::synth::{self, SynthOptions};
use crate::terminal::{Exit, Out};
use chrono::NaiveDate;
use flate2::Compression;
use flate2::write::GzEncoder;
use indicatif::{BinaryBytes, ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Make synthetic members as NDJSON, one file for each type; the same seed gives the same bytes.
#[derive(Clone, Debug, clap::Args)]
pub struct SynthArgs {
    /// Number of members to make.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub members: u64,
    /// Seed: the same one gives the same bytes.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// New or empty folder for the files.
    #[arg(long, default_value = "synthetic-members")]
    pub out: PathBuf,
    /// Compress the files.
    #[arg(long)]
    pub gzip: bool,
    /// Average number of resources of a member.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(4..))]
    pub resources_per_member: u64,
    /// Give the first member exactly this many resources.
    #[arg(long, value_parser = clap::value_parser!(u64).range(4..))]
    pub one_large: Option<u64>,
    /// Enter every five-hundredth member twice, beginning with the second.
    #[arg(long)]
    pub twins: bool,
    /// Leave out the showcase member, whose record holds every element that the guides mark mustSupport.
    #[arg(long)]
    pub no_showcase: bool,
    /// System of the member numbers.
    #[arg(long)]
    pub member_system: Option<String>,
    /// Name of the payer.
    #[arg(long)]
    pub payer_name: Option<String>,
    /// National Provider Identifier of the payer.
    #[arg(long)]
    pub payer_npi: Option<String>,
    /// Last day of the data (YYYY-MM-DD); records cover the six years before it.
    #[arg(long)]
    pub as_of: Option<NaiveDate>,
}

impl SynthArgs {
    fn options(&self) -> SynthOptions {
        let defaults = SynthOptions::default();
        SynthOptions {
            members: self.members,
            seed: self.seed,
            resources_per_member: self.resources_per_member,
            one_large: self.one_large,
            twins: self.twins,
            showcase: !self.no_showcase,
            member_system: self.member_system.clone().unwrap_or(defaults.member_system),
            payer_name: self.payer_name.clone().unwrap_or(defaults.payer_name),
            payer_npi: self.payer_npi.clone().unwrap_or(defaults.payer_npi),
            as_of: self.as_of.unwrap_or(defaults.as_of),
        }
    }
}

/// Writes the files and prints what was written.
///
/// # Errors
/// [`Fault::InputUnreadable`] when the folder is not empty or cannot be written.
pub fn run(args: &SynthArgs, cwd: &Path, out: &mut Out) -> Result<Exit, Failure> {
    let folder = cwd.join(&args.out);
    let unusable = |error: io::Error| Failure::new(Fault::InputUnreadable).at("--out").because(error);
    std::fs::create_dir_all(&folder).map_err(unusable)?;
    if std::fs::read_dir(&folder).map_err(unusable)?.next().is_some() {
        return Err(Failure::new(Fault::InputUnreadable)
            .at("--out")
            .remedy("Name a new or an empty folder."));
    }
    let bar = if out.terminal && !out.quiet {
        ProgressBar::new(args.members)
    } else {
        ProgressBar::hidden()
    };
    if let Ok(style) = ProgressStyle::with_template(
        "{spinner} writing {bar:20} {percent:>3} %  {pos} of {len} members, {per_sec}, {msg}, {eta} left",
    ) {
        bar.set_style(style);
    }
    let mut files = Files {
        folder,
        gzip: args.gzip,
        open: BTreeMap::new(),
    };
    let mut written = 0;
    synth::write(&args.options(), &mut |kind, line| {
        written += line.len() as u64 + 1;
        if kind == "Patient" {
            bar.inc(1);
            if !bar.is_hidden() {
                let rate = written as f64 / bar.elapsed().as_secs_f64().max(0.001);
                bar.set_message(format!("{}, {}/s", BinaryBytes(written), BinaryBytes(rate as u64)));
            }
        }
        files.line(kind, line)
    })
    .map_err(unusable)?;
    let counts = files.close().map_err(unusable)?;
    bar.finish_and_clear();

    let (resources, bytes) = counts
        .iter()
        .fold((0, 0), |sum, (_, lines, bytes)| (sum.0 + lines, sum.1 + bytes));
    if out.json {
        let types: serde_json::Map<_, _> = counts
            .iter()
            .map(|&(kind, lines, _)| (kind.to_owned(), json!(lines)))
            .collect();
        out.value(&json!({"members": args.members, "showcase": !args.no_showcase, "seed": args.seed, "resources": resources, "bytes": bytes, "types": types}));
    } else {
        let rows: Vec<Vec<String>> = counts
            .iter()
            .map(|(kind, lines, bytes)| vec![(*kind).to_owned(), lines.to_string(), bytes.to_string()])
            .collect();
        out.table(&["type", "resources", "bytes"], &rows);
        let showcase = if args.no_showcase { "" } else { " and the showcase" };
        out.note(&format!("{resources} resources of {} members{showcase}.", args.members));
    }
    Ok(Exit::Done)
}

struct Files {
    folder: PathBuf,
    gzip: bool,
    open: BTreeMap<&'static str, Stream>,
}

struct Stream {
    to: Box<dyn Close>,
    lines: u64,
    bytes: u64,
}

trait Close: Write {
    /// Writes what is left, so that a full disk is reported and not lost.
    fn close(self: Box<Self>) -> io::Result<()>;
}

impl Close for BufWriter<File> {
    fn close(mut self: Box<Self>) -> io::Result<()> {
        self.flush()
    }
}

impl Close for GzEncoder<BufWriter<File>> {
    fn close(self: Box<Self>) -> io::Result<()> {
        self.finish()?.flush()
    }
}

impl Files {
    fn line(&mut self, kind: &'static str, line: &[u8]) -> io::Result<()> {
        let stream = match self.open.entry(kind) {
            std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => {
                let name = if self.gzip {
                    format!("{kind}.ndjson.gz")
                } else {
                    format!("{kind}.ndjson")
                };
                let file = BufWriter::new(File::create_new(self.folder.join(name))?);
                let to: Box<dyn Close> = if self.gzip {
                    Box::new(GzEncoder::new(file, Compression::default()))
                } else {
                    Box::new(file)
                };
                free.insert(Stream { to, lines: 0, bytes: 0 })
            }
        };
        stream.to.write_all(line)?;
        stream.to.write_all(b"\n")?;
        stream.lines += 1;
        stream.bytes += line.len() as u64 + 1;
        Ok(())
    }

    fn close(self) -> io::Result<Vec<(&'static str, u64, u64)>> {
        self.open
            .into_iter()
            .map(|(kind, stream)| {
                stream.to.close()?;
                Ok((kind, stream.lines, stream.bytes))
            })
            .collect()
    }
}

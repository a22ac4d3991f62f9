//! `causeway config`: the configuration in force.

use crate::bulk::files::BulkFiles;
use crate::config::{Config, effective};
use crate::error::Failure;
use crate::terminal::{Exit, Out};
use clap::Args;
use serde_json::{Value, json};

/// Show the keys of the configuration, their values, and where each value comes from.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  causeway config --effective
  CAUSEWAY_LOG__LEVEL=debug causeway config --effective --json
  causeway config --check-files")]
pub struct ConfigArgs {
    /// Show all keys, not only those that differ from the defaults; passwords are left out.
    #[arg(long)]
    pub effective: bool,
    /// Write, read and remove a small file in the folder or object store of exports.url, and show nothing else.
    #[arg(long, conflicts_with = "effective")]
    pub check_files: bool,
}

/// Prints the configuration; without `--effective` only what differs from the defaults.
///
/// # Errors
/// [`Fault::BulkFolder`](crate::error::Fault::BulkFolder) when files of bulk jobs cannot be kept.
pub fn run(args: &ConfigArgs, config: &Config, out: &mut Out) -> Result<Exit, Failure> {
    if args.check_files {
        BulkFiles::new(config)
            .probe()
            .map_err(|failure| failure.at("exports.url"))?;
        match out.json {
            true => out.value(&json!({"exports.url": "usable"})),
            false => out.line("exports.url: files can be written, read and removed"),
        }
        return Ok(Exit::Done);
    }
    let shown = effective(config);
    if out.json {
        out.value(&shown);
        return Ok(Exit::Done);
    }
    let mut rows = Vec::new();
    for (section, keys) in shown["sections"].as_object().into_iter().flatten() {
        for (name, row) in keys.as_object().into_iter().flatten() {
            let source = row["source"].as_str().unwrap_or_default();
            if args.effective || source != "default" {
                let value = match &row["value"] {
                    Value::String(text) => text.clone(),
                    Value::Null => "-".to_owned(),
                    other => other.to_string(),
                };
                rows.push(vec![
                    format!("{section}.{name}"),
                    value,
                    source.to_owned(),
                    row["meaning"].as_str().unwrap_or_default().to_owned(),
                ]);
            }
        }
    }
    out.table(&["KEY", "VALUE", "FROM", "MEANING"], &rows);
    Ok(Exit::Done)
}

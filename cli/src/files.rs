//! The files for the reports of `elu check` and `elu bench`.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    output::Output,
    plot::{Chart, Picture},
};

/// Arguments for the files that a report is written to.
#[derive(clap::Args)]
pub(crate) struct FileArgs {
    /// Write the results as JSON to FILE; `-` writes them to standard output instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw a chart; FILE must end in .svg or .png
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Replace FILE if it exists
    #[arg(short, long)]
    force: bool,
}

impl FileArgs {
    pub(crate) fn plots(&self) -> bool {
        self.plot.is_some()
    }
}

/// The outputs for `--json` and `--plot`.
pub(crate) struct Files {
    json: Option<Output>,
    plot: Option<(Picture, Output)>,
}

impl Files {
    pub(crate) fn open(args: &FileArgs) -> Result<Self> {
        let open = |path: &PathBuf| Output::open(path, args.force);
        let json = args.json.as_ref().map(open).transpose()?;
        let plot = args.plot.as_ref().map(|path| {
            let picture = Picture::by_extension(path)?;
            Ok::<_, anyhow::Error>((picture, open(path)?))
        });
        let plot = plot.transpose()?;
        if let (Some(json), Some((_, plot))) = (&json, &plot)
            && json.is_same_file(plot)
        {
            return Err(crate::usage(
                "--json and --plot name the same file, needed two files",
            ));
        }
        Ok(Self { json, plot })
    }

    /// Writes the files, and the table to standard output unless the JSON goes there.
    pub(crate) fn write(self, chart: &impl Chart, json: &Value, table: &str) -> Result<()> {
        let to_stdout = matches!(self.json, Some(Output::Stdout));
        // The files are written first, so that they exist even if standard output is closed.
        if let Some((picture, output)) = self.plot {
            let bytes = picture.draw(chart)?;
            output.write(&bytes)?;
        }
        if let Some(output) = self.json {
            output.write_text(&format!("{json:#}\n"))?;
        }
        if to_stdout {
            return Ok(());
        }
        Output::Stdout.write_text(table)
    }
}

/// Converts a number. JSON has no infinity.
pub(crate) fn number(v: f64) -> Value {
    if v.is_finite() {
        json!(v)
    } else {
        json!(v.to_string())
    }
}

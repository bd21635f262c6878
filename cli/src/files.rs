//! Where the reports of `elu check` and `elu bench` go.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    output::Output,
    plot::{Chart, Picture},
};

/// Where reports go besides standard output.
#[derive(clap::Args)]
pub(crate) struct FileArgs {
    /// Write what was found as JSON; `-` is standard output, in place of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw what was found: FILE ends in .svg or .png
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

/// What `--json` and `--plot` name.
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
                "--json and --plot name the same file, needed two",
            ));
        }
        Ok(Self { json, plot })
    }

    /// The table goes to standard output, unless the JSON does.
    pub(crate) fn write(self, chart: &impl Chart, json: &Value, table: &str) -> Result<()> {
        let to_stdout = matches!(self.json, Some(Output::Stdout));
        // Files first: a table that nobody listens to is no reason to lose them.
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

/// JSON has no infinity.
pub(crate) fn number(v: f64) -> Value {
    if v.is_finite() {
        json!(v)
    } else {
        json!(v.to_string())
    }
}

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"corbie/munin"
	"corbie/ui"
)

func (p *program) exportSiteCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "site DIR",
		Short: "Write all pages and pictures into a folder, to be read without a master",
		Long: `site writes a copy of all pages into a folder: the overview, hosts, graphs over a
day, a week, a month and a year, problems, what changed, the inventory. It needs
no master, no script and no web server: open index.html, or let any web server
serve the folder.

It reads the data folder beside a running master. Write it anew by cron for a
read-only site, as Munin makes one. What is in the folder otherwise stays. (The
values of a host that is called "site" are exported by its full name, GROUP;site.)`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := p.openReader()
			if err != nil {
				return err
			}
			return errors.Join(p.exportSite(cmd.Context(), r, args[0]), r.close())
		},
	}
}

func (p *program) exportSite(ctx context.Context, r *reader, dir string) error {
	s, err := ui.New(ui.Options{
		Catalog: r.catalog, Samples: r.samples, States: r.catalog, Faults: r.catalog, Reports: r.catalog, Notes: r.catalog,
		Index: r.catalog, Version: version(), Static: true,
	})
	if err != nil {
		return err
	}
	files, size, last := 0, int64(0), time.Now()
	err = ui.WriteSite(ctx, s, dir, ui.SiteOptions{Progress: func(n int, bytes int64) {
		files, size = n, bytes
		if now := time.Now(); now.Sub(last) > 5*time.Second {
			last = now
			fmt.Fprintf(p.stderr, "%d files, %sB\n", n, munin.FormatValue(float64(bytes), 1000))
		}
	}})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%s: %d files, %sB\n", dir, files, munin.FormatValue(float64(size), 1000))
	return err
}

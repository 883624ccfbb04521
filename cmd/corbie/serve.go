package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"corbie/master/config"
	"corbie/munin"
	"corbie/storage"
	"corbie/storage/catalog"
)

type serveFlags struct {
	listen   string
	interval string
	verbose  bool
}

func (f serveFlags) config() (config.Flags, error) {
	flags := config.Flags{Listen: f.listen}
	if f.interval != "" {
		var err error
		if flags.Interval, err = munin.ParseDuration(f.interval); err != nil {
			return flags, usageError{fmt.Errorf("--interval: %w", err)}
		}
		if flags.Interval == 0 {
			return flags, usageError{errors.New("--interval: 0 is no time between two polls")}
		}
	}
	if err := flags.Check(); err != nil {
		return flags, usageError{err}
	}
	return flags, nil
}

func (p *program) serveCommand() *cobra.Command {
	var flags serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Poll, store, draw, page: the master itself",
		Long: `serve runs the master until it is told to stop (SIGTERM, Ctrl-C). SIGHUP makes it
read its configuration anew; when that has an error, nothing changes and the
log says why.

A munin.conf is read as Munin reads it, alone or beside corbie.yml. Lines of it
that are wrong are logged and left out; "corbie check" lists them.

It prints the address of the pages on stdout and logs to stderr.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.serve(cmd.Context(), flags) },
	}
	cmd.Flags().StringVar(&flags.listen, "listen", "", "address of the pages (default: listen in the configuration, else 127.0.0.1:8080)")
	cmd.Flags().StringVar(&flags.interval, "interval", "",
		"time between two polls of hosts and groups without one of their own (default: interval in the configuration, else 5m)")
	cmd.Flags().BoolVar(&flags.verbose, "verbose", false, "log every poll")
	return cmd
}

func (p *program) serve(ctx context.Context, flags serveFlags) error {
	configFlags, err := flags.config()
	if err != nil {
		return err
	}
	configFlags.Tolerant = true // One wrong line of a munin.conf must not end the polling of all others.
	conf, err := p.loadConfig(configFlags)
	if err != nil {
		return err
	}
	if err := checkOwner(p.dataFolder(conf)); err != nil {
		return err
	}
	log := newLogger(p.stderr, flags.verbose)
	read := func() (*config.Config, error) {
		again, err := p.loadConfig(configFlags)
		if err == nil {
			warnOfRestart(log, conf, again)
		}
		return again, err
	}
	logFindings(log, conf)
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)

	a, err := newApp(ctx, conf, p.dataFolder(conf), log)
	if err != nil {
		return err
	}
	for _, q := range a.samples.Quarantined() {
		log.Error("damaged data was set aside; the rest is served", "what", q)
	}
	log.Info("listening", "url", a.pageURL(), "hosts", len(conf.Hosts), "data", p.dataFolder(conf))
	fmt.Fprintf(p.stdout, "Corbie: %s/\n", a.pageURL())
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Warn("cannot tell systemd that the master is ready", "err", err)
	}
	err = a.run(ctx, reload, read)
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	if err = errors.Join(err, a.close()); err == nil {
		log.Info("stopped")
	}
	return err
}

// openCatalog opens the catalogue. One that is damaged is set aside and begun anew: what it knew of hosts and graphs, the polls will tell
// again, and the samples do not need it. A master that does not start helps nobody.
func openCatalog(dir string, log *slog.Logger) (*catalog.Catalog, error) {
	path := filepath.Join(dir, catalogFile)
	c, err := catalog.Open(path, catalog.Options{Logger: log})
	if !catalog.Damaged(err) {
		return c, err
	}
	c, aside, errAfresh := catalog.OpenAfresh(path, filepath.Join(dir, storage.SetAsideDir), catalog.Options{Logger: log})
	if errAfresh != nil {
		return nil, errors.Join(err, errAfresh)
	}
	log.Error("the catalogue was damaged and is set aside; hosts and graphs are learnt anew from the polls, and the samples are all there, "+
		"but titles of graphs that are gone, acknowledgements and which problems were open are forgotten: to have them back, stop the master and put "+
		"the catalogue of a backup in its place", "err", err, "path", aside)
	return c, nil
}

// warnOfRestart names what a reload cannot change in a running master.
func warnOfRestart(log *slog.Logger, running, read *config.Config) {
	for _, key := range []struct {
		name string
		same bool
	}{
		{"listen", running.Listen == read.Listen},
		{"listen_tls", running.ListenTLS == read.ListenTLS},
		{"url", running.URL == read.URL},
		{"data", running.Data == read.Data},
		{"concurrency", running.Concurrency == read.Concurrency},
		{"storage", running.Elsewhere == read.Elsewhere},
		{"query", running.Query == read.Query},
		{"remote", reflect.DeepEqual(running.Remote, read.Remote)},
		{"retention", reflect.DeepEqual(running.Retention, read.Retention)},
		{"forecast", reflect.DeepEqual(running.Forecast, read.Forecast)},
		{"notify", reflect.DeepEqual(running.Notify, read.Notify)},
	} {
		if !key.same {
			log.Warn("a change in the configuration takes effect only when the master is started again", "key", key.name)
		}
	}
}

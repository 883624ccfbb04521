package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"corbie/alerts"
	"corbie/alerts/forecast"
	"corbie/alerts/route"
	"corbie/master/config"
	"corbie/master/jobs"
	"corbie/master/poll"
	"corbie/master/self"
	"corbie/master/transport"
	"corbie/master/virtual"
	"corbie/storage"
	"corbie/storage/catalog"
	"corbie/storage/promapi"
	"corbie/storage/rules"
	"corbie/ui"
)

var (
	_ poll.Sink        = (*samples)(nil)
	_ poll.Catalog     = (*virtual.Keeper)(nil)
	_ poll.Dialer      = transport.Dial
	_ virtual.Catalog  = (*catalog.Catalog)(nil)
	_ alerts.Values    = (*samples)(nil)
	_ alerts.States    = (*catalog.Catalog)(nil)
	_ alerts.Graphs    = (*catalog.Catalog)(nil)
	_ alerts.Teller    = (*chronicle)(nil)
	_ forecast.Catalog = (*catalog.Catalog)(nil)
	_ forecast.Samples = (*samples)(nil)
	_ ui.Catalog       = (*catalog.Catalog)(nil)
	_ ui.Samples       = (*samples)(nil)
	_ ui.States        = (*problemStates)(nil)
	_ ui.Faults        = (*catalog.Catalog)(nil)
	_ ui.Faults        = (*hostFaults)(nil)
	_ ui.Reports       = (*reports)(nil)
	_ ui.Acks          = (*ackBook)(nil)
	_ ui.Notes         = (*catalog.Catalog)(nil)
	_ ui.Index         = (*catalog.Catalog)(nil)
	_ ui.Views         = (*catalog.Catalog)(nil)
)

// app is a running master: everything opened and wired, nothing started until run.
type app struct {
	log       *slog.Logger
	conf      *config.Config
	dir       string // of the data
	metrics   *prometheus.Registry
	listener  net.Listener
	catalog   *catalog.Catalog
	samples   *samples
	acks      *ackBook
	router    *route.Router
	chronicle *chronicle
	oldNames  *oldNames
	evaluator *alerts.Evaluator
	virtual   *virtual.Keeper
	poller    *poll.Poller
	jobs      *jobs.Runner
	pages     *ui.Server
	prom      *promapi.API
	rules     *rules.Manager
	server    *http.Server
	self      *self.Watch  // nil: the name is taken
	running   atomic.Bool  // between the start and the stop of run
	hosts     atomic.Value // map[munin.HostID]munin.Host: as configured
	said      atomic.Value // map[munin.HostID]hostWords
	names     atomic.Pointer[naming]
	keep      atomic.Pointer[storage.KeepOf] // nil: all hosts are kept alike
	judging   judging
	closers   []func() error // run last first
}

// newApp opens and wires a master, layer by layer: the order of the steps is the order of what needs what. It starts nothing that outlasts it,
// and closes again what it opened when a later step fails.
func newApp(ctx context.Context, conf *config.Config, dir string, log *slog.Logger) (_ *app, err error) {
	a := &app{log: log, conf: conf, dir: dir, metrics: prometheus.NewRegistry()}
	a.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, step := range []func(context.Context) error{a.openStores, a.newAlerts, a.newPolls, a.newJobs, a.newPrometheus, a.newPages} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, a.close())
		}
	}
	return a, nil
}

// openStores makes the data folder and the address this master's own, and opens what is kept in the one; meanwhile the other says how far
// that is.
func (a *app) openStores(ctx context.Context) (err error) {
	release, err := storage.Lock(a.dir)
	if err != nil {
		return err
	}
	a.closers = append(a.closers, release)
	if a.listener, err = listen(ctx, a.conf.Listen, a.conf.ListenTLS, a.log); err != nil {
		return err
	}
	a.closers = append(a.closers, closeListener(a.listener))
	if a.catalog, err = openCatalog(a.dir, a.log); err != nil {
		return err
	}
	a.closers = append(a.closers, a.catalog.Close)
	early := serveStarting(a.listener)
	a.samples, err = openSamples(a.dir, a.conf, a.log, a.metrics, early)
	if err = errors.Join(err, early.stop(ctx)); err != nil {
		return errors.Join(err, a.samples.Close())
	}
	a.closers = append(a.closers, a.samples.Close)
	return nil
}

// newPolls makes what asks the nodes, and what stands beside it: the graphs that no node has, and the master's own.
func (a *app) newPolls(ctx context.Context) error {
	a.editsWhileAway(ctx)
	targets, err := a.configureHosts(ctx, a.conf)
	if err != nil {
		return err
	}
	a.virtual = virtual.New(a.plans(a.conf), virtual.Options{Catalog: &firstLook{a.catalog, a.chronicle}, Observe: a.observe, Log: a.log})
	a.poller = poll.New(targets, poll.Options{
		Dial: transport.Dial, Sink: a.samples, Catalog: a.virtual, Observe: a.observe, Log: a.log, Concurrency: a.conf.Concurrency,
	})
	a.self = a.newSelfWatch()
	a.metrics.MustRegister(newPollCollector(a.poller), newRejectCollector(a.samples))
	return nil
}

// run serves until ctx ends and returns when all parts have stopped. reload gives a value whenever the
// configuration shall be read anew.
func (a *app) run(ctx context.Context, reload <-chan os.Signal, read func() (*config.Config, error)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.poller.Run(ctx) })
	group.Go(func() error { return a.samples.run(ctx) })
	group.Go(func() error { return a.virtual.Run(ctx) })
	group.Go(func() error { return a.router.Run(ctx) })
	group.Go(func() error { return a.jobs.Run(ctx) })
	group.Go(func() error { return a.rules.Run(ctx) })
	if a.self != nil {
		group.Go(func() error { return a.self.Run(ctx) })
	}
	a.running.Store(true)
	context.AfterFunc(ctx, func() { a.running.Store(false) })
	group.Go(func() error {
		if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve pages: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := a.server.Shutdown(drain); err != nil {
			return a.server.Close()
		}
		return nil
	})
	group.Go(func() error {
		a.reloads(ctx, reload, read)
		return nil
	})
	return group.Wait()
}

// targetsEvery is how often the files of targets are looked at.
const targetsEvery = 5 * time.Second

// editsEvery is how often the catalogue is asked for what was changed by hand.
const editsEvery = time.Second

// reloads reads the configuration anew when it is told to, and when a file of targets has changed; it takes over changes by hand.
func (a *app) reloads(ctx context.Context, reload <-chan os.Signal, read func() (*config.Config, error)) {
	ticker, edits := time.NewTicker(targetsEvery), time.NewTicker(editsEvery)
	defer ticker.Stop()
	defer edits.Stop()
	seen := a.conf.Seen()
	for {
		var now string
		select {
		case <-ctx.Done():
			return
		case <-edits.C:
			a.lookForEdits(ctx)
			continue
		case <-reload:
			now = a.conf.Fingerprint()
		case <-ticker.C:
			if now = a.conf.Fingerprint(); now == seen {
				continue
			}
			a.log.Info("the files of targets have changed")
		}
		// What was refused is not read again before it changes again.
		if seen = now; a.reload(ctx, read) {
			seen = a.conf.Seen()
		}
	}
}

// reload reads the configuration and swaps hosts, levels and receivers. When anything is wrong with it, nothing changes and it is
// false.
func (a *app) reload(ctx context.Context, read func() (*config.Config, error)) bool {
	conf, err := read()
	var set *rules.Set
	if err == nil {
		set, err = loadRules(conf)
	}
	if err == nil {
		err = a.router.Reload(a.receivers(conf))
	}
	if err != nil {
		a.log.Error("the configuration was not reloaded, the old one stays in force", "err", err)
		return false
	}
	targets, err := a.configureHosts(ctx, conf)
	if err != nil {
		a.log.Error("cannot store the hosts of the new configuration", "err", err)
	}
	if targets == nil {
		targets = conf.Targets()
	}
	a.chronicle.reloaded(ctx, a.conf, conf)
	a.conf = conf
	a.storeWords(conf)
	if err := a.rules.Reload(ctx, set); err != nil {
		a.log.Error("cannot keep or tell the alerts of rules; it is tried again", "err", err)
	}
	a.pages.Reload(accessSettings(conf, a.pageURL()))
	a.poller.Reload(targets)
	a.virtual.Reload(a.plans(conf))
	logFindings(a.log, conf)
	a.log.Info("configuration reloaded", "hosts", len(conf.Hosts), "receivers", len(conf.Receivers))
	return true
}

// logFindings says what is probably not meant, and what was left out.
func logFindings(log *slog.Logger, conf *config.Config) {
	for _, w := range conf.Warnings {
		log.Warn("configuration", "warning", w)
	}
	for _, r := range conf.Rejected {
		log.Error("a line of munin.conf was left out, the others hold", "err", r)
	}
}

func (a *app) close() error {
	var err error
	for i := len(a.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, a.closers[i]())
	}
	a.closers = nil
	return err
}

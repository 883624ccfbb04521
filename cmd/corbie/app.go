package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
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
	"corbie/munin"
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

// newApp opens and wires a master in one straight line: its order is the order of what needs what. It starts nothing that outlasts it, and
// closes again what it opened when a later step fails.
func newApp(ctx context.Context, conf *config.Config, dir string, log *slog.Logger) (_ *app, err error) {
	a := &app{log: log, conf: conf}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	release, err := storage.Lock(dir)
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, release)
	if a.listener, err = listen(ctx, conf.Listen, conf.ListenTLS, log); err != nil {
		return nil, err
	}
	a.closers = append(a.closers, closeListener(a.listener))

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if a.catalog, err = openCatalog(dir, log); err != nil {
		return nil, err
	}
	a.closers = append(a.closers, a.catalog.Close)
	early := serveStarting(a.listener)
	a.samples, err = openSamples(dir, conf, log, registry, early)
	if err = errors.Join(err, early.stop(ctx)); err != nil {
		return nil, errors.Join(err, a.samples.Close())
	}
	a.closers = append(a.closers, a.samples.Close)
	if a.acks, err = newAckBook(ctx, a.catalog); err != nil {
		return nil, err
	}
	if a.router, err = route.New(a.routeOptions(dir, registry)); err != nil {
		return nil, err
	}
	a.closers = append(a.closers, a.router.Close)
	if err = a.watchLevels(); err != nil {
		return nil, err
	}
	a.editsWhileAway(ctx)
	targets, err := a.configureHosts(ctx, conf)
	if err != nil {
		return nil, err
	}
	a.virtual = virtual.New(a.plans(conf), virtual.Options{Catalog: &firstLook{a.catalog, a.chronicle}, Observe: a.observe, Log: log})
	a.poller = poll.New(targets, poll.Options{
		Dial: transport.Dial, Sink: a.samples, Catalog: a.virtual, Observe: a.observe, Log: log, Concurrency: conf.Concurrency,
	})
	a.self = a.newSelfWatch(dir)
	registry.MustRegister(newPollCollector(a.poller), newRejectCollector(a.samples))
	if a.jobs, err = a.newJobs(dir); err != nil {
		return nil, err
	}
	if err = a.newPrometheus(ctx, registry, dir); err != nil {
		return nil, err
	}
	if err = a.newServer(registry); err != nil {
		return nil, err
	}
	return a, nil
}

// watchLevels makes the evaluator, and the chronicle that stands between it and the router.
func (a *app) watchLevels() (err error) {
	a.chronicle = &chronicle{next: a.router, catalog: a.catalog, samples: a.samples, log: a.log, known: make(map[munin.HostID]*lately)}
	a.oldNames = newOldNames(a)
	a.evaluator, err = alerts.New(alerts.Options{
		Values: a.samples, States: a.catalog, Graphs: a.catalog, Teller: a.chronicle, Logger: a.log,
	})
	return err
}

// capacityJob makes the capacity report by schedule.
func (a *app) capacityJob() jobs.Job {
	return jobs.Job{Name: capacityReport, Schedule: a.conf.Forecast.Schedule, Do: func(ctx context.Context) error {
		r, err := a.survey(ctx, time.Now())
		if err != nil {
			return err
		}
		return a.catalog.SaveReport(ctx, r)
	}}
}

func (a *app) newServer(metrics prometheus.Gatherer) error {
	a.storeWords(a.conf)
	var err error
	a.pages, err = ui.New(ui.Options{
		Access:  &ui.Access{Sessions: a.catalog, Tokens: a.catalog, Journal: a.catalog, Settings: accessSettings(a.conf, a.pageURL())},
		Catalog: a.catalog, Samples: a.samples, States: &problemStates{a.catalog, a.rules}, Faults: &hostFaults{a.catalog, a.samples},
		Acks: a.acks, Notes: a.catalog, Index: a.catalog, Views: a.catalog, Tags: a.tags, Facts: a.facts, URL: a.conf.URL,
		Reports: &reports{stored: a.catalog, survey: a.survey}, Log: a.log, Version: version(), Ready: a.ready, Notices: a.samples.notices,
		Prometheus: a.prom,
		Metrics:    promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}),
	})
	if err != nil {
		return err
	}
	a.server = &http.Server{
		Handler: a.pages, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 2 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
	}
	return nil
}

// listen binds the pages' address, with advice where that is not possible.
func listen(ctx context.Context, address string, encrypted config.ListenTLS, log *slog.Logger) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("address %s is in use by another program: stop that one or choose another with --listen", address)
	}
	if errors.Is(err, syscall.EACCES) {
		return nil, fmt.Errorf("address %s: %w: ports below 1024 are for root and services with CAP_NET_BIND_SERVICE, as corbie.service has; "+
			"choose another with --listen", address, err)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	if encrypted == (config.ListenTLS{}) {
		return l, nil
	}
	over, err := listenTLS(l, encrypted, log)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return over, nil
}

func closeListener(l net.Listener) func() error {
	return func() error {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

// pageURL is the address of the pages as people reach them.
func (a *app) pageURL() string {
	if a.conf.URL != "" {
		return a.conf.URL
	}
	if a.conf.ListenTLS.Certificate != "" {
		return "https://" + a.listener.Addr().String()
	}
	return "http://" + a.listener.Addr().String()
}

func (a *app) routeOptions(dir string, registry prometheus.Registerer) route.Options {
	n := a.conf.Notify
	return route.Options{
		Dir: filepath.Join(dir, alertsFolder), Receivers: a.receivers(a.conf), GroupBy: n.GroupBy, Wait: n.Wait,
		Interval: n.Interval, Repeat: n.RepeatEvery, Acknowledged: a.acks.covered, Picture: a.picture, ExternalURL: a.pageURL(), Logger: a.log, Registerer: registry,
	}
}

// picture draws a graph for a mail. The pages are made after the router, but before it runs.
func (a *app) picture(ctx context.Context, id munin.SeriesID) ([]byte, error) {
	return a.pages.Picture(ctx, id.Host, id.Graph)
}

// observe hands a finished poll to the evaluator, together with what the catalogue knows of the host: where the poll
// went well, what is configured is enough.
func (a *app) observe(ctx context.Context, p *munin.Poll) {
	a.chronicle.look(ctx, p)
	a.oldNames.look(ctx, p)
	known, _ := a.hosts.Load().(map[munin.HostID]munin.Host)
	host, ok := known[p.Host]
	var err error
	if !ok || p.Err != nil || !p.Answered() {
		host, err = a.catalog.Host(ctx, string(p.Host))
	}
	if err == nil && host.ID == p.Host { // else it was renamed while it was polled
		err = a.evaluator.Observe(ctx, host, p)
	}
	if ctx.Err() == nil {
		a.judging.note(a.log, p.Host, err)
	}
}

func (a *app) survey(ctx context.Context, now time.Time) (munin.Report, error) {
	return forecast.Survey(ctx, a.catalog, a.samples, now)
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

// receivers translates receivers from how they are configured to how they are told.
func (a *app) receivers(conf *config.Config) []route.Receiver {
	to := make([]route.Receiver, 0, len(conf.Receivers))
	for i := range conf.Receivers {
		r := &conf.Receivers[i]
		out := route.Receiver{Name: r.Name, On: r.On}
		if e := r.Email; e != nil {
			out.Email = &route.Email{
				To: e.To, From: e.From, Host: e.Host, Port: e.Port, TLS: e.TLS, InsecureSkipVerify: e.InsecureSkipVerify,
				Username: e.Username, Password: e.Password, Hello: e.Hello, Pictures: e.Pictures, Timeout: r.Timeout,
			}
		}
		if w := r.Webhook; w != nil {
			out.Webhook = &route.Webhook{
				URL: w.URL, Username: w.Username, Password: w.Password, Token: w.Token,
				InsecureSkipVerify: w.InsecureSkipVerify, Timeout: r.Timeout,
			}
		}
		if len(r.Command) > 0 {
			out.Command = &route.Command{Argv: r.Command, Timeout: r.Timeout}
		}
		if c := r.Contact; c != nil {
			out.Command = &route.Command{Argv: c.Args, Template: true, Text: c.Text, Timeout: r.Timeout}
			out.Wants = func(id munin.SeriesID) bool {
				id.Host = a.names.Load().configuredAs(id.Host)
				return conf.Tells(r, id)
			}
		}
		to = append(to, out)
	}
	return to
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"corbie/master/config"
	"corbie/ui"
)

// newPages makes the pages and the server that they are behind.
func (a *app) newPages(context.Context) (err error) {
	a.storeWords(a.conf)
	a.pages, err = ui.New(ui.Options{
		Access:  &ui.Access{Sessions: a.catalog, Tokens: a.catalog, Journal: a.catalog, Settings: accessSettings(a.conf, a.pageURL())},
		Catalog: a.catalog, Samples: a.samples, States: &problemStates{a.catalog, a.rules}, Faults: &hostFaults{a.catalog, a.samples},
		Acks: a.acks, Notes: a.catalog, Index: a.catalog, Views: a.catalog, Tags: a.tags, Facts: a.facts, URL: a.conf.URL,
		Reports: &reports{stored: a.catalog, survey: a.survey}, Log: a.log, Version: version(), Ready: a.ready, Notices: a.samples.notices,
		Prometheus: a.prom,
		Metrics:    promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{}),
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

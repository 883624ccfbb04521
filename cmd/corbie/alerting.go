package main

import (
	"context"
	"path/filepath"

	"corbie/alerts"
	"corbie/alerts/route"
	"corbie/master/config"
	"corbie/munin"
)

// newAlerts makes what judges values by their levels, and what tells people of it. The chronicle stands between the two.
func (a *app) newAlerts(ctx context.Context) (err error) {
	if a.acks, err = newAckBook(ctx, a.catalog); err != nil {
		return err
	}
	if a.router, err = route.New(a.routeOptions()); err != nil {
		return err
	}
	a.closers = append(a.closers, a.router.Close)
	a.chronicle = &chronicle{next: a.router, catalog: a.catalog, samples: a.samples, log: a.log, known: make(map[munin.HostID]*lately)}
	a.oldNames = newOldNames(a)
	a.evaluator, err = alerts.New(alerts.Options{
		Values: a.samples, States: a.catalog, Graphs: a.catalog, Teller: a.chronicle, Logger: a.log,
	})
	return err
}

func (a *app) routeOptions() route.Options {
	n := a.conf.Notify
	return route.Options{
		Dir: filepath.Join(a.dir, alertsFolder), Receivers: a.receivers(a.conf), GroupBy: n.GroupBy, Wait: n.Wait,
		Interval: n.Interval, Repeat: n.RepeatEvery, Acknowledged: a.acks.covered, Picture: a.picture, ExternalURL: a.pageURL(), Logger: a.log, Registerer: a.metrics,
	}
}

// picture draws a graph for a mail. The pages are made after the router, but before it runs.
func (a *app) picture(ctx context.Context, id munin.SeriesID) ([]byte, error) {
	return a.pages.Picture(ctx, id.Host, id.Graph)
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

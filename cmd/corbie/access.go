package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"corbie/master/config"
	"corbie/munin"
	"corbie/storage/catalog"
	"corbie/ui"
	"corbie/ui/access"
)

// The catalogue is where access keeps what it knows.
var (
	_ access.Sessions = (*catalog.Catalog)(nil)
	_ access.Tokens   = (*catalog.Catalog)(nil)
	_ ui.Journal      = (*catalog.Catalog)(nil)
)

// accessSettings translates who is let in from how it is configured to how the pages ask.
func accessSettings(conf *config.Config, url string) access.Settings {
	c := &conf.Access
	s := access.Settings{
		Anonymous: access.Grant(c.Anonymous), Htpasswd: c.Htpasswd, Users: accessGrants(c.Users), Teams: accessGrants(c.Teams),
		Default: access.Grant(c.Default), Idle: c.Idle, Longest: c.Longest, URL: url,
	}
	host, _, err := net.SplitHostPort(conf.Listen)
	ip := net.ParseIP(host)
	s.Local = err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
	if p := c.Proxy; p != nil {
		s.Proxy = &access.Proxy{Trusted: p.Trusted, Header: p.Header, Teams: p.Teams, SignOut: p.SignOut}
	}
	if o := c.OIDC; o != nil {
		s.OIDC = &access.OIDC{
			Issuer: o.Issuer, Client: o.Client, Secret: string(o.Secret), Scopes: o.Scopes, NameClaim: o.NameClaim, TeamClaim: o.TeamClaim,
		}
	}
	return s
}

func accessGrants(from map[string]config.Grant) map[string]access.Grant {
	to := make(map[string]access.Grant, len(from))
	for name, g := range from {
		to[name] = access.Grant(g)
	}
	return to
}

// checkAccess reads the files that the configuration names for the pages, and says what is wrong with them.
func checkAccess(conf *config.Config) []error {
	var wrong []error
	if path := conf.Access.Htpasswd; path != "" {
		users, lines := access.ReadUsers(path)
		for _, err := range lines {
			wrong = append(wrong, fmt.Errorf("%s: %w", path, err))
		}
		if len(lines) == 0 && len(users) == 0 {
			wrong = append(wrong, fmt.Errorf("%s: nobody is in it: htpasswd -B %s NAME", path, path))
		}
	}
	if t := conf.ListenTLS; t.Certificate != "" {
		if _, err := tls.LoadX509KeyPair(t.Certificate, t.Key); err != nil {
			wrong = append(wrong, fmt.Errorf("listen_tls: %w", err))
		}
	}
	return wrong
}

// certificate is a pair of files that are read again when they have changed.
type certificate struct {
	files config.ListenTLS
	log   *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	stamp   string
	current *tls.Certificate
}

// lookAgain is how often the files are looked at, at most.
const lookAgain = 5 * time.Second

// listenTLS encrypts what a listener accepts.
func listenTLS(l net.Listener, files config.ListenTLS, log *slog.Logger) (net.Listener, error) {
	c := &certificate{files: files, log: log}
	if err := c.load(); err != nil {
		return nil, err
	}
	return tls.NewListener(l, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(), nil },
	}), nil
}

func (c *certificate) load() error {
	stamp := fileStamp(c.files.Certificate) + fileStamp(c.files.Key)
	pair, err := tls.LoadX509KeyPair(c.files.Certificate, c.files.Key)
	if err != nil {
		return fmt.Errorf("listen_tls: %w", err)
	}
	c.stamp, c.current, c.looked = stamp, &pair, time.Now()
	return nil
}

// get is the certificate as it is now. While the files do not fit together, the old one stays.
func (c *certificate) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < lookAgain {
		return c.current
	}
	c.looked = time.Now()
	if stamp := fileStamp(c.files.Certificate) + fileStamp(c.files.Key); stamp != c.stamp {
		if err := c.load(); err != nil {
			c.log.Error("the new certificate cannot be used, the old one stays", "err", err)
		} else {
			c.log.Info("the certificate of the pages was read again")
		}
	}
	return c.current
}

func fileStamp(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
}

// noteCLI writes an entry of the audit log about a command on this machine.
func noteCLI(ctx context.Context, cat *catalog.Catalog, action, detail string) error {
	return cat.LogChange(ctx, munin.Change{At: time.Now(), Who: whoami(), Method: "cli", Action: action, Detail: detail})
}

// whoami is who runs the command: whoever became root by sudo keeps their name.
func whoami() string {
	for _, name := range []string{"SUDO_USER", "USER", "LOGNAME"} {
		if who := os.Getenv(name); who != "" {
			return munin.CleanText(who)
		}
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}

// openWriter opens the catalogue for a command that changes something, also beside a running master.
func (p *program) openWriter() (*catalog.Catalog, error) {
	r, err := p.openCatalog() // finds the folder, and refuses one without data
	if err != nil {
		return nil, err
	}
	if err := r.close(); err != nil {
		return nil, err
	}
	cat, err := catalog.Open(catalogPath(p.dataDir), catalog.Options{})
	if err != nil {
		return nil, fmt.Errorf("%w; this takes the user as whom the master runs", err)
	}
	return cat, nil
}

// groupList checks the groups that a flag names.
func groupList(groups []string) ([]string, error) {
	for _, g := range groups {
		if g == "" || strings.HasPrefix(g, ";") || strings.HasSuffix(g, ";") || g != munin.CleanText(g) {
			return nil, usageError{fmt.Errorf("--see %q: want the name of a group of hosts, as in web;eu", g)}
		}
	}
	return groups, nil
}

var errNoTokens = errors.New("there are no tokens; make one with 'corbie token add NAME'")

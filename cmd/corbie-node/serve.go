package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"corbie/node"
	"corbie/node/runner"
)

func (p *program) serveCommand() *cobra.Command {
	var (
		where  folders
		listen []string
	)
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve this machine's plugins to masters",
		Long: "serve serves this machine's plugins to masters until it is told to stop (SIGTERM). SIGHUP makes it read its\n" +
			"configuration anew. Without a configuration it listens on 127.0.0.1:4949 and lets only this machine ask.",
		Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return p.serve(c.Context(), &where, listen) },
	}
	where.bind(c)
	c.Flags().StringArrayVar(&listen, "listen", nil, "`address` to listen on instead of those of the configuration; may be repeated")
	return c
}

func (p *program) serve(ctx context.Context, where *folders, listen []string) error {
	log := slog.New(slog.NewTextHandler(p.stderr, nil))
	hangup := p.hangups()
	cfg, err := p.configure(ctx, where)
	if err != nil {
		return err
	}
	addresses, err := p.listen(ctx, cfg, listen)
	if err != nil {
		return err
	}
	defer addresses.close()
	warnings, err := cfg.CheckTLS() // While we may still read the key.
	if err != nil {
		return err
	}
	groups, groupsErr := runner.OpenGroups()
	if groups != nil {
		defer groups.Remove()
	}
	if err := becomeUser(ctx, cfg); err != nil {
		return err
	}
	options := node.Options{Native: nativePlugins(), Version: version(), Environ: withoutSystemd(p.environ), Groups: groups, Log: log}
	if options.Spool = node.OpenSpool(cfg, log); options.Spool != nil {
		defer options.Spool.Close()
	}
	catalogue, err := node.NewCatalogue(ctx, cfg, options)
	if err != nil {
		return err
	}
	reportConfig(log, cfg)
	reportGroups(log, groupsErr)
	for _, warning := range warnings {
		log.Warn("encryption is not as it should be", "reason", warning)
	}
	server := node.NewServer(cfg, catalogue, options)
	listeners := addresses.listeners()
	for _, listener := range listeners {
		log.Info("listening", "address", listener.Addr().String(), "name", cfg.Name, "version", version())
	}
	manager := systemd{log: log}
	manager.tell(daemon.SdNotifyReady)
	beside, stop := context.WithCancel(ctx)
	var others sync.WaitGroup
	others.Go(func() { manager.watch(beside, server) })
	others.Go(func() {
		p.reload(beside, hangup, func() error {
			manager.reloading()
			defer manager.tell(daemon.SdNotifyReady)
			return p.readAnew(beside, where, server, addresses)
		})
	})
	err = server.Run(ctx, listeners)
	stop()
	others.Wait()
	manager.tell(daemon.SdNotifyStopping)
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// reload reads the configuration anew at each hangup. One that is wrong changes nothing.
func (p *program) reload(ctx context.Context, hangup <-chan os.Signal, read func() error) {
	log := slog.New(slog.NewTextHandler(p.stderr, nil))
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		}
		if err := read(); err != nil {
			log.Error("the new configuration is wrong; the old one stays", "err", err)
			continue
		}
		log.Info("configuration read anew")
	}
}

func (p *program) readAnew(ctx context.Context, where *folders, server *node.Server, addresses *listening) error {
	cfg, err := p.configure(ctx, where)
	if err != nil {
		return err
	}
	before := maps.Clone(addresses.open)
	if err := addresses.change(ctx, cfg); err != nil {
		return err
	}
	if err := server.Reload(ctx, cfg); err != nil {
		for address, listener := range addresses.open {
			if before[address] == nil {
				_ = listener.Close() // Nobody was served on it.
			}
		}
		addresses.open = before
		return err
	}
	server.Listen(addresses.listeners())
	reportConfig(slog.New(slog.NewTextHandler(p.stderr, nil)), cfg)
	return nil
}

// reportGroups says what the limits of plugins are worth without control groups.
func reportGroups(log *slog.Logger, err error) {
	if err != nil {
		log.Info("plugin_memory holds for each process of a plugin, and plugin_processes not at all", "reason", err)
	}
}

func reportConfig(log *slog.Logger, cfg *node.Config) {
	for _, warning := range cfg.Warnings {
		log.Warn("configuration line ignored", "line", warning)
	}
	if len(cfg.Ineffective) > 0 {
		log.Info("configuration keys without effect here", "keys", strings.Join(cfg.Ineffective, " "))
	}
	if os.Getuid() != 0 {
		log.Info("not run by root: all plugins run as this user, whatever their settings say", "uid", os.Getuid())
	}
	if cfg.Access.OnlyLoopback() {
		log.Info("only this machine may ask; let masters in with allow or cidr_allow")
	}
}

// becomeUser gives up root when the configuration says so.
func becomeUser(ctx context.Context, cfg *node.Config) error {
	if os.Getuid() != 0 || cfg.User == "" && cfg.Group == "" {
		return nil
	}
	name := cfg.User
	if name == "" {
		name = "root"
	}
	var groups []runner.Group
	if cfg.Group != "" {
		groups = []runner.Group{{Name: cfg.Group}}
	}
	id, err := runner.Lookup(ctx, name, groups)
	if err != nil {
		return fmt.Errorf("user and group of the node: %w", err)
	}
	list := make([]int, 0, len(id.Groups))
	for _, gid := range id.Groups {
		list = append(list, int(gid))
	}
	if err := errors.Join(syscall.Setgroups(list), syscall.Setgid(int(id.GID)), syscall.Setuid(int(id.UID))); err != nil {
		return fmt.Errorf("become user %s: %w", name, err)
	}
	return nil
}

// withoutSystemd takes out of an environment what systemd meant for the node alone.
func withoutSystemd(environ []string) []string {
	own := map[string]bool{
		"NOTIFY_SOCKET": true, "WATCHDOG_PID": true, "WATCHDOG_USEC": true, "LISTEN_PID": true, "LISTEN_FDS": true,
		"LISTEN_FDNAMES": true, "INVOCATION_ID": true, "JOURNAL_STREAM": true, "CREDENTIALS_DIRECTORY": true,
		"SYSTEMD_EXEC_PID": true, "MEMORY_PRESSURE_WATCH": true, "MEMORY_PRESSURE_WRITE": true, "FDSTORE": true,
	}
	var left []string
	for _, entry := range environ {
		if key, _, _ := strings.Cut(entry, "="); !own[key] {
			left = append(left, entry)
		}
	}
	return left
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"corbie/node"
	"corbie/node/configure"
	"corbie/node/snmp"
)

var (
	_ configure.Folder = (*node.Catalogue)(nil)
	_ configure.Asker  = (*node.Catalogue)(nil)
	_ configure.Agent  = (*snmp.Session)(nil)
)

// configuring is one call of "corbie-node configure".
type configuring struct {
	where     folders
	libraries []string
	families  []string
	newer     string
	format    string

	hosts []string // to ask by SNMP
	snmp  snmp.Options

	suggest, shell, apply, dryRun, removeAlso, scripts, debug bool
}

func (p *program) configureCommand() *cobra.Command {
	var v configuring
	c := &cobra.Command{
		Use:   "configure",
		Short: "Show which plugins are in use or would be of use, and link them",
		Long: "configure shows which plugins of the library are linked in the plugin folder. With --suggest it asks the plugins\n" +
			"which of them would be of use on this machine; with --shell it prints the commands that link those; with --apply\n" +
			"it links them itself, and a running node offers them at once. Options and output are those of\n" +
			"munin-node-configure. What a native plugin does needs no link, and a script that does the same is not suggested\n" +
			"unless --scripts is given: once linked, it takes the native plugin's place.",
		Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := v.check(); err != nil {
				return exitError{code: exitUsage, err: err}
			}
			v.complete()
			return p.runConfigure(c.Context(), &v)
		},
	}
	v.where.bind(c)
	f := c.Flags()
	f.StringArrayVar(&v.libraries, "libdir", nil, "`folder` with the plugins to choose from; may be repeated (default Munin's and Corbie's)")
	f.StringSliceVar(&v.families, "families", nil, "`families` of plugins to look at (default auto; auto,manual,contrib to show what is in use)")
	f.StringVar(&v.newer, "newer", "", "only plugins that came after this `version` of Munin")
	f.BoolVar(&v.suggest, "suggest", false, "ask plugins whether they would be of use")
	f.BoolVar(&v.shell, "shell", false, "print shell commands that add the links that are missing")
	f.BoolVar(&v.apply, "apply", false, "add the links that are missing")
	f.BoolVar(&v.dryRun, "dry-run", false, "with --apply: only say what it would do")
	f.BoolVar(&v.removeAlso, "remove-also", false, "with --shell or --apply: remove the links to plugins that say they are of no use")
	f.BoolVar(&v.scripts, "scripts", false, "suggest scripts also where a native plugin does the same")
	f.BoolVar(&v.debug, "pidebug", false, "set MUNIN_DEBUG for the plugins")
	v.bindSNMP(c)
	f.StringVar(&v.format, "format", "text", "text or json, for what is shown")
	return c
}

// bindSNMP adds the options for plugins that ask other machines.
func (v *configuring) bindSNMP(c *cobra.Command) {
	f := c.Flags()
	f.StringSliceVar(&v.hosts, "snmp", nil, "suggest SNMP plugins for these `hosts`, or all addresses of networks (192.0.2.0/24)")
	f.StringVar(&v.snmp.Version, "snmpversion", "2c", "`version` of SNMP: 1, 2c or 3")
	f.StringVar(&v.snmp.Community, "snmpcommunity", "public", "`community` for versions 1 and 2c")
	f.Uint16Var(&v.snmp.Port, "snmpport", 0, "`port` of the agents (default 161)")
	f.StringVar(&v.snmp.Domain, "snmpdomain", "udp", "`transport`: udp, udp6, tcp, tcp6")
	f.StringVar(&v.snmp.User, "snmpusername", "", "`user` for version 3")
	f.StringVar(&v.snmp.AuthPassword, "snmpauthpass", "", "`password` for authentication (default that for privacy)")
	f.StringVar(&v.snmp.AuthProtocol, "snmpauthproto", "md5", "`protocol` for authentication: md5, sha, sha256, …")
	f.StringVar(&v.snmp.PrivPassword, "snmpprivpass", "", "`password` for privacy; without one, nothing is encrypted")
	f.StringVar(&v.snmp.PrivProtocol, "snmpprivproto", "des", "`protocol` for privacy: des, aes, aes256, …")
}

// check looks for options that make no sense together.
func (v *configuring) check() error {
	switch {
	case v.format != "text" && v.format != "json":
		return fmt.Errorf("--format %s: want text or json", v.format)
	case v.shell && v.apply:
		return errors.New("--shell only prints what --apply does: choose one")
	case v.dryRun && !v.apply:
		return errors.New("--dry-run goes with --apply")
	case v.removeAlso && !v.shell && !v.apply:
		return errors.New("--remove-also goes with --shell or --apply")
	case v.format == "json" && (v.shell || v.apply):
		return errors.New("--format json is for what is shown, not for --shell and --apply")
	case len(v.hosts) > 0:
		if v.suggest {
			return errors.New("--suggest is about this machine and --snmp about others: choose one")
		}
		return v.snmp.Check()
	}
	return nil
}

// complete fills in what follows from the options given.
func (v *configuring) complete() {
	v.suggest = v.suggest || v.shell || v.apply || len(v.hosts) > 0
	if len(v.families) > 0 {
		return
	}
	switch {
	case len(v.hosts) > 0:
		v.families = []string{configure.FamilySNMPAuto}
	case v.suggest:
		v.families = []string{configure.FamilyAuto}
	default:
		v.families = []string{configure.FamilyAuto, configure.FamilyManual, configure.FamilyContrib}
	}
}

func (p *program) runConfigure(ctx context.Context, v *configuring) error {
	cfg, err := p.configure(ctx, &v.where)
	if err != nil {
		return err
	}
	plugins, err := p.survey(ctx, cfg, v)
	if err != nil {
		return err
	}
	switch {
	case v.shell:
		for _, change := range configure.Plan(plugins, v.removeAlso) {
			fmt.Fprintln(p.stdout, change.Shell(cfg.ServiceDir))
		}
	case v.apply:
		err = p.applyLinks(cfg, v, configure.Plan(plugins, v.removeAlso))
	case v.format == "json":
		err = configure.WriteJSON(p.stdout, plugins)
	default:
		err = configure.WriteTable(p.stdout, plugins, v.suggest)
	}
	if configure.WriteFaults(p.stderr, plugins) && err == nil {
		err = exitError{code: exitFailed}
	}
	return err
}

// survey finds the plugins of all libraries and, if that is asked for, has them say whether they are of use.
func (p *program) survey(ctx context.Context, cfg *node.Config, v *configuring) ([]*configure.Plugin, error) {
	conf, faults := node.LoadPluginConf(cfg.SconfDir, cfg)
	if len(faults) > 0 {
		fmt.Fprintln(p.stderr, "corbie-node:", errors.Join(faults...))
	}
	disabled := func(plugin string) bool {
		said := conf.For(plugin).DisableAutoconf
		return said != nil && *said
	}
	var libraries [][]*configure.Plugin
	for _, folder := range v.folders(cfg, p.share) {
		catalogue, err := p.catalogueOf(ctx, cfg, folder)
		if err != nil {
			return nil, err
		}
		plugins := configure.Load(catalogue, v.families)
		if plugins, err = v.keepNewer(folder, plugins); err != nil {
			return nil, err
		}
		if plugins = notYet(plugins, libraries); v.suggest {
			ask := configure.Survey
			if len(v.hosts) > 0 {
				ask = configure.SurveySNMP
			}
			if err := ask(ctx, catalogue, plugins, configure.SurveyOptions{Disabled: disabled, Debug: v.debug}); err != nil {
				return nil, err
			}
		}
		libraries = append(libraries, plugins)
	}
	plugins := configure.Merge(libraries...)
	if err := p.probe(ctx, v, plugins); err != nil {
		return nil, err
	}
	services, err := p.catalogueOf(ctx, cfg, cfg.ServiceDir)
	if err != nil {
		return nil, err
	}
	configure.FindLinks(plugins, services)
	if !v.scripts && slices.Contains(v.families, configure.FamilyAuto) && v.newer == "" {
		plugins = configure.AddNative(plugins, offeredNative(cfg))
	}
	return plugins, nil
}

// probe asks the SNMP agents of other machines, if there are any to ask. Some that do not answer are no failure:
// in a network there are always some.
func (p *program) probe(ctx context.Context, v *configuring, plugins []*configure.Plugin) error {
	if len(v.hosts) == 0 {
		return nil
	}
	hosts, err := configure.ExpandHosts(v.hosts)
	if err != nil {
		return exitError{code: exitUsage, err: fmt.Errorf("--snmp: %w", err)}
	}
	silent, err := configure.ProbeHosts(ctx, plugins, hosts, func(ctx context.Context, host string) (configure.Agent, error) {
		return snmp.Dial(ctx, host, v.snmp)
	})
	for _, host := range silent {
		fmt.Fprintln(p.stderr, "#", host)
	}
	if err == nil && len(silent) == len(hosts) {
		err = errors.New("no SNMP agent answers: do the version, the community or the user fit?")
	}
	return err
}

// folders are the libraries to look into.
func (v *configuring) folders(cfg *node.Config, share string) []string {
	if len(v.libraries) > 0 {
		return v.libraries
	}
	return slices.DeleteFunc(slices.Compact([]string{filepath.Join(cfg.LibDir, "plugins"), filepath.Join(share, "plugins")}), func(folder string) bool {
		_, err := os.Stat(folder)
		return err != nil
	})
}

// catalogueOf is a catalogue of the scripts in a folder, with the settings that hold for this node.
func (p *program) catalogueOf(ctx context.Context, cfg *node.Config, folder string) (*node.Catalogue, error) {
	path, err := filepath.Abs(folder)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", folder, err)
	}
	of := *cfg
	of.ServiceDir = path
	catalogue, err := node.NewCatalogue(ctx, &of, node.Options{Version: version(), Environ: p.environ, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("look into %s: %w", folder, err)
	}
	return catalogue, nil
}

// keepNewer leaves out what is older than the version asked for, by the history that lies beside the plugins.
func (v *configuring) keepNewer(folder string, plugins []*configure.Plugin) ([]*configure.Plugin, error) {
	if v.newer == "" {
		return plugins, nil
	}
	text, err := os.ReadFile(filepath.Join(folder, "plugins.history"))
	if errors.Is(err, os.ErrNotExist) {
		return plugins, nil // A library without a history has only plugins of unknown age.
	}
	if err != nil {
		return nil, fmt.Errorf("read the plugins' history: %w", err)
	}
	newer, err := configure.Newer(string(text), v.newer, "linux")
	if err != nil {
		return nil, fmt.Errorf("--newer: %w", err)
	}
	return configure.KeepNewer(plugins, newer), nil
}

// notYet leaves out the plugins that an earlier library has too.
func notYet(plugins []*configure.Plugin, earlier [][]*configure.Plugin) []*configure.Plugin {
	return slices.DeleteFunc(plugins, func(p *configure.Plugin) bool {
		return slices.ContainsFunc(earlier, func(library []*configure.Plugin) bool {
			return slices.ContainsFunc(library, func(other *configure.Plugin) bool { return other.Name == p.Name })
		})
	})
}

// offeredNative are the native plugins that this node serves.
func offeredNative(cfg *node.Config) []string {
	if cfg.Native.None {
		return nil
	}
	return slices.DeleteFunc(nativePlugins().Names(), func(name string) bool { return !cfg.Native.Has(name) })
}

// applyLinks makes the changes, or says which. One that cannot be made does not keep the others from it.
func (p *program) applyLinks(cfg *node.Config, v *configuring, changes []configure.Change) error {
	if v.dryRun {
		for _, change := range changes {
			fmt.Fprintln(p.stdout, "would", change)
		}
		return nil
	}
	if len(changes) > 0 {
		const mode = 0o755
		if err := os.MkdirAll(cfg.ServiceDir, mode); err != nil {
			return fmt.Errorf("make the plugin folder: %w", err)
		}
	}
	var failed []string
	for _, change := range changes {
		if err := change.Apply(cfg.ServiceDir); err != nil {
			failed = append(failed, err.Error())
			continue
		}
		fmt.Fprintln(p.stdout, change)
	}
	if len(changes) == 0 {
		fmt.Fprintf(p.stdout, "nothing to change in %s\n", cfg.ServiceDir)
	}
	if len(failed) > 0 {
		return errors.New(strings.Join(failed, "\n"))
	}
	return nil
}

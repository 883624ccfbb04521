package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"corbie/munin"
	"corbie/node"
	"corbie/plugins"
)

var _ node.Native = (*plugins.Set)(nil)

// defaultConfig is read when there is no --config.
const defaultConfig = "/etc/corbie/node.conf"

// folders are the flags that say where the node finds its files.
type folders struct {
	config, services, settings string
}

func (f *folders) bind(c *cobra.Command) {
	c.Flags().StringVar(&f.config, "config", "", "configuration `file` in the form of munin-node.conf (default "+defaultConfig+", if there is one)")
	c.Flags().StringVar(&f.services, "servicedir", "", "plugin `folder`")
	c.Flags().StringVar(&f.settings, "sconfdir", "", "`folder` with the plugins' settings (plugin-conf.d)")
}

// command builds the command line.
func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "corbie-node",
		Short:         "The agent of Corbie: offers this machine's plugins to its masters",
		Long:          "corbie-node offers the plugins of this machine to the masters that may ask for them, over Munin's protocol.\nIt runs Munin's plugins and reads Munin's configuration.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
		Args:          usage(cobra.NoArgs),
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetVersionTemplate("corbie-node {{.Version}}\n")
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exitError{code: exitUsage, err: err} })
	root.AddCommand(p.serveCommand(), p.runCommand(), p.listCommand(), p.configureCommand(), &cobra.Command{
		Use: "version", Short: "Print the version", Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(p.stdout, "corbie-node", version())
			return err
		},
	})
	root.AddCommand(p.lintCommand(), p.newCommand(), p.statusCommand(), p.watchCommand())
	return root
}

// usage gives wrong arguments their exit code.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return exitError{code: exitUsage, err: err}
		}
		return nil
	}
}

// configure reads the configuration that the flags name.
func (p *program) configure(ctx context.Context, f *folders) (*node.Config, error) {
	cfg, err := f.load()
	if err != nil {
		return nil, err
	}
	for _, folder := range []struct {
		flag   string
		target *string
	}{{f.services, &cfg.ServiceDir}, {f.settings, &cfg.SconfDir}} {
		if folder.flag == "" {
			continue
		}
		path, err := filepath.Abs(folder.flag)
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", folder.flag, err)
		}
		if info, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("find the folder: %w", err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("%s is not a folder", path)
		}
		*folder.target = path
	}
	p.fill(ctx, cfg)
	return cfg, nil
}

// load reads the configuration file, if there is one.
func (f *folders) load() (*node.Config, error) {
	if f.config == "" {
		cfg, err := node.LoadConfig(defaultConfig)
		if errors.Is(err, os.ErrNotExist) {
			return node.DefaultConfig(), nil
		}
		return cfg, err
	}
	path, err := filepath.Abs(f.config)
	if err != nil {
		return nil, fmt.Errorf("find the configuration: %w", err)
	}
	return node.LoadConfig(path)
}

// fill works out what a configuration may leave open: from MUNIN_LIBDIR and MUNIN_PLUGSTATE in the environment,
// or from what is usual.
func (p *program) fill(ctx context.Context, cfg *node.Config) {
	env := environMap(p.environ)
	if cfg.Name == "" {
		cfg.Name = hostName(ctx)
	}
	if cfg.LibDir == "" {
		cfg.LibDir = env["MUNIN_LIBDIR"]
	}
	if cfg.LibDir == "" {
		cfg.LibDir = p.share
		const munins = "/usr/share/munin"
		if _, err := os.Stat(munins + "/plugins/plugin.sh"); err == nil {
			cfg.LibDir = munins
		}
	}
	if cfg.StateDir == "" {
		cfg.StateDir = env["MUNIN_PLUGSTATE"]
	}
	if cfg.StateDir == "" {
		cfg.StateDir = stateFolder(env, "plugin-state")
	}
	if cfg.SpoolDir == "" {
		cfg.SpoolDir = stateFolder(env, "spool")
	}
}

// stateFolder is where the node keeps something of its own between two starts.
func stateFolder(env map[string]string, name string) string {
	if home := env["HOME"]; os.Getuid() != 0 && home != "" {
		return filepath.Join(home, ".local/state/corbie-node", name)
	}
	return filepath.Join("/var/lib/corbie-node", name)
}

func (p *program) runCommand() *cobra.Command {
	var (
		where          folders
		debug, explain bool
	)
	c := &cobra.Command{
		Use:   "run PLUGIN [config|autoconf|suggest]",
		Short: "Run one plugin as the node would, and print what it says",
		Long: "run runs one plugin with the settings, the user and the environment that the node would give it, and prints what it says.\nWithout an argument the plugin prints values. The exit code is the plugin's.\n" +
			"PLUGIN is a name, or the path of a file. --explain shows all that came of the run, and what a master makes of it.",
		Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := p.configure(c.Context(), &where)
			if err != nil {
				return err
			}
			request := node.Request{Plugin: args[0], Args: args[1:], Debug: debug, NoTimeout: true}
			if explain {
				return p.explain(c.Context(), cfg, args[0], request)
			}
			return p.runPlugin(c.Context(), cfg, request)
		},
	}
	where.bind(c)
	c.Flags().BoolVar(&debug, "debug", false, "set MUNIN_DEBUG for the plugin")
	c.Flags().BoolVarP(&explain, "explain", "v", false, "print output, errors, exit code, duration and what a master understands")
	return c
}

func (p *program) runPlugin(ctx context.Context, cfg *node.Config, request node.Request) error {
	w, err := p.openPlugin(ctx, cfg, request.Plugin)
	if err != nil {
		return err
	}
	answer := w.run(ctx, request)
	for _, line := range answer.Stderr {
		fmt.Fprintln(p.stderr, line)
	}
	if _, err := p.stdout.Write(answer.Output); err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	switch {
	case answer.Err == nil:
		return nil
	case errors.Is(answer.Err, munin.ErrNotFound):
		return w.unknown()
	case answer.ExitCode > 0:
		return exitError{code: answer.ExitCode, err: answer.Err}
	}
	return answer.Err
}

// unoffered asks a native plugin that is of no use on this machine, so that it can say why.
func unoffered(ctx context.Context, native node.Native, request node.Request) node.Answer {
	verb := ""
	if len(request.Args) > 0 {
		verb = request.Args[0]
	}
	output, err := native.Run(ctx, request.Plugin, verb, nil)
	if err != nil {
		return node.Answer{ExitCode: exitFailed, Err: err}
	}
	return node.Answer{Output: output}
}

func (p *program) listCommand() *cobra.Command {
	var (
		where  folders
		format string
	)
	c := &cobra.Command{
		Use:   "list",
		Short: "List the plugins that the node would offer, and where they come from",
		Args:  usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkFormat(format); err != nil {
				return err
			}
			cfg, err := p.configure(c.Context(), &where)
			if err != nil {
				return err
			}
			log := slog.New(slog.NewTextHandler(p.stderr, nil))
			catalogue, err := node.NewCatalogue(c.Context(), cfg, node.Options{Native: nativePlugins(), Version: version(), Log: log})
			if err != nil {
				return err
			}
			return p.printPlugins(catalogue.Plugins(), format)
		},
	}
	where.bind(c)
	c.Flags().StringVar(&format, "format", "text", "text or json")
	return c
}

func (p *program) printPlugins(list []node.Plugin, format string) error {
	if format == "json" {
		type plugin struct {
			Name string `json:"name"`
			Path string `json:"path,omitempty"`
			Host string `json:"host,omitempty"`
		}
		all := make([]plugin, 0, len(list))
		for _, one := range list {
			all = append(all, plugin(one))
		}
		encoder := json.NewEncoder(p.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(all)
	}
	table := tabwriter.NewWriter(p.stdout, 0, 8, 2, ' ', 0)
	for _, one := range list {
		source := one.Path
		if source == "" {
			source = "native"
		}
		if one.Host != "" {
			source += " (for " + one.Host + ")"
		}
		fmt.Fprintf(table, "%s\t%s\n", one.Name, source)
	}
	return table.Flush()
}

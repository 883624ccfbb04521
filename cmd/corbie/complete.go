package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"corbie/master/config"
	"corbie/munin"
	"corbie/ui/report"
)

// complete tells shells what may follow: hosts and graphs by name, folders, and the words that flags take.
func (p *program) complete(root *cobra.Command) {
	_ = root.MarkPersistentFlagFilename("config", "yml", "yaml")
	_ = root.MarkPersistentFlagFilename("munin-conf", "conf")
	_ = root.MarkPersistentFlagDirname("data")
	for _, c := range allCommands(root) {
		words := map[string][]string{"format": {formatText, "json"}, "role": {"viewer", "operator", "admin"}, "kind": {"note", "deploy", "maintenance", "reboot"}}
		switch c.Name() {
		case "export":
			words["format"] = []string{"csv", "jsonl", "openmetrics"}
			c.ValidArgsFunction = p.completeSeries
		case "graphs":
			c.ValidArgsFunction = p.completeHosts(1)
		case "rename":
			c.ValidArgsFunction = p.completeHosts(2)
		case "remove":
			c.ValidArgsFunction = p.completeHosts(1)
		case "poll":
			c.ValidArgsFunction = p.completeConfigured
		case "report":
			words["format"] = report.Formats()
			c.ValidArgsFunction = cobra.FixedCompletions([]cobra.Completion{"capacity"}, cobra.ShellCompDirectiveNoFileComp)
		case "backup", "restore", "site":
			c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
				return nil, cobra.ShellCompDirectiveFilterDirs
			}
		}
		for flag, known := range words {
			if c.Flags().Lookup(flag) != nil {
				_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(known, cobra.ShellCompDirectiveNoFileComp))
			}
		}
		for _, flag := range []string{"explain", "where"} {
			if c.Flags().Lookup(flag) != nil {
				_ = c.RegisterFlagCompletionFunc(flag, p.completeConfigured)
			}
		}
		for _, flag := range []string{"dbdir", "dir"} {
			if c.Flags().Lookup(flag) != nil {
				_ = c.MarkFlagDirname(flag)
			}
		}
	}
}

func allCommands(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		all = append(all, allCommands(sub)...)
	}
	return all
}

// completeConfigured offers the hosts of the configuration.
func (p *program) completeConfigured(_ *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	conf, err := p.loadConfig(config.Flags{Tolerant: true})
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return hostNames(conf.MuninHosts(), word), cobra.ShellCompDirectiveNoFileComp
}

// completeSeries offers hosts, and then the graphs of the one that was chosen.
func (p *program) completeSeries(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return p.completeHosts(1)(cmd, args, word)
	}
	r, err := p.openCatalog()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer r.close()
	h, err := r.host(cmd.Context(), args[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	graphs, err := r.catalog.Graphs(cmd.Context(), h.ID)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for i := range graphs {
		if strings.HasPrefix(graphs[i].Name, word) {
			names = append(names, cobra.CompletionWithDesc(graphs[i].Name, graphs[i].Title))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// hostNames are the names and full paths of hosts that begin with a word.
func hostNames(hosts []munin.Host, word string) []cobra.Completion {
	var names []cobra.Completion
	for _, h := range hosts {
		for _, name := range []string{h.ID.Name(), string(h.ID)} {
			if strings.HasPrefix(name, word) {
				names = append(names, name)
			}
		}
	}
	slices.SortFunc(names, cmp.Compare[cobra.Completion])
	return slices.Compact(names)
}

// completeHosts offers the hosts that are known, for up to so many arguments.
func (p *program) completeHosts(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		r, err := p.openCatalog()
		if err != nil || len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer r.close()
		hosts, err := r.catalog.Hosts(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return hostNames(hosts, word), cobra.ShellCompDirectiveNoFileComp
	}
}

// Package node is the agent: it offers the plugins of one machine to the masters that may ask for them, over
// Munin's protocol.
//
// A Catalogue knows the plugins, which are scripts in a folder and the native ones that are part of the
// program, with their settings from plugin-conf.d, and runs them. A Server holds the sessions with masters and
// keeps their limits. Both are configured by Munin's own files, munin-node.conf and plugin-conf.d.
//
// Start-up waits for no plugin. What a plugin says of itself in its config answer, the host it speaks for and
// whether it needs a master with certain abilities, is found out in the background, for several plugins at
// once, and again from every config answer that a master gets.
package node

import "context"

// Native is a consumer contract for plugins that need no program of their own. It models the set of plugins
// that is built into the node.
type Native interface {
	// Names lists the plugins that are of use on this machine, with wildcards spelled out, sorted.
	Names() []string
	// Run says what a plugin says when called with the verb: config, autoconf, suggest, or none for values.
	Run(ctx context.Context, name, verb string, env map[string]string) ([]byte, error)
}

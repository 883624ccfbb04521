package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"corbie/munin/wire"
)

// Defaults of what one client, and one plugin, may cost.
const (
	defaultPeerRate     = 600
	defaultPeerSessions = 64
	defaultPluginRuns   = 64
	defaultPluginMemory = 1 << 30
	defaultProcesses    = 256
	defaultSocketMode   = 0o660
)

// Transport is the part of a configuration that says how masters reach the node, and what they and the plugins
// that they ask for may cost.
type Transport struct {
	Sockets []Socket // besides Config.Listen
	TLS     wire.TLSSettings

	PeerRate     int   // connections from one address in a minute; 0: any number
	PeerSessions int   // of one address at the same time
	PluginRuns   int   // at the same time
	PluginMemory int64 // bytes for one plugin with all that it starts; 0: no limit
	// PluginProcesses is how many one plugin may have at a time; 0: any number. It takes control groups.
	PluginProcesses int

	keys       *wire.TLS // of TLS
	defaultKey string
	onlySocket bool // no address of the network was named, but a socket was
}

// Socket is a socket in the file system. Whoever may write to it may talk to the node: the file's mode is its
// access list.
type Socket struct {
	Path  string
	Mode  os.FileMode
	Group string // empty: that of the node
}

func newTransport() Transport {
	return Transport{
		TLS:      wire.TLSSettings{Mode: wire.TLSAuto, Depth: wire.DefaultTLSDepth},
		PeerRate: defaultPeerRate, PeerSessions: defaultPeerSessions, PluginRuns: defaultPluginRuns,
		PluginMemory: defaultPluginMemory, PluginProcesses: defaultProcesses,
	}
}

// text finds the setting behind a key whose value is taken as it is.
func (t *Transport) text(key string) *string {
	switch key {
	case "tls_private_key":
		return &t.TLS.Key
	case "tls_certificate":
		return &t.TLS.Certificate
	case "tls_ca_certificate":
		return &t.TLS.CA
	}
	return nil
}

// set takes one key. It is false when the key belongs to another part of the configuration.
func (t *Transport) set(key, value string) (known bool, err error) {
	switch key {
	case "tls":
		t.TLS.Mode, err = wire.ParseTLSMode(value)
	case "tls_verify_certificate":
		err = setBool(&t.TLS.Verify, value)
	case "tls_verify_depth":
		err = setCount(&t.TLS.Depth, value, 0, 100)
	case "tls_match":
		if _, err = wire.TLSMatch(value); err == nil {
			t.TLS.Match = value
		}
	case "socket":
		err = t.addSocket(value)
	case "peer_rate":
		err = setCount(&t.PeerRate, value, 0, 1_000_000)
	case "peer_sessions":
		err = setCount(&t.PeerSessions, value, 1, 100_000)
	case "plugin_runs":
		err = setCount(&t.PluginRuns, value, 1, 10_000)
	case "plugin_memory":
		err = t.setMemory(value)
	case "plugin_processes":
		err = setCount(&t.PluginProcesses, value, 0, 1_000_000)
	default:
		return false, nil
	}
	return true, err
}

// hostSocket takes the value of the key host where it names a socket.
func (t *Transport) hostSocket(value string) (taken bool, err error) {
	path, ok := strings.CutPrefix(value, "unix:")
	if !ok {
		return false, nil
	}
	t.onlySocket = true
	return true, t.addSocket(path)
}

// addSocket takes "PATH [MODE [GROUP]]".
func (t *Transport) addSocket(value string) error {
	words := strings.Fields(value)
	if len(words) == 0 || len(words) > 3 {
		return fmt.Errorf("%q: want a path, and perhaps a mode and a group, as in /run/corbie-node/socket 0660 munin", clip(value))
	}
	socket := Socket{Path: words[0], Mode: defaultSocketMode}
	if path, ok := strings.CutPrefix(socket.Path, "//"); ok {
		socket.Path = path // unix:///run/x
	}
	const longest = 107 // that the kernel takes
	if !filepath.IsAbs(socket.Path) || len(socket.Path) > longest {
		return fmt.Errorf("%q: want a path that begins with a slash and has at most %d bytes", clip(socket.Path), longest)
	}
	socket.Path = filepath.Clean(socket.Path)
	if len(words) > 1 {
		mode, err := strconv.ParseUint(words[1], 8, 9)
		if err != nil {
			return fmt.Errorf("%q: want a mode such as 0660", clip(words[1]))
		}
		socket.Mode = os.FileMode(mode)
	}
	if len(words) > 2 {
		socket.Group = words[2]
	}
	t.Sockets = append(t.Sockets, socket)
	return nil
}

// setMemory takes bytes as "512M", or "no".
func (t *Transport) setMemory(value string) error {
	var on bool
	if setBool(&on, value) == nil && !on {
		t.PluginMemory = 0
		return nil
	}
	const least = 1 << 20
	number, shift := value, 0
	for i, unit := range []string{"k", "M", "G"} {
		if digits, ok := strings.CutSuffix(strings.ToUpper(value), strings.ToUpper(unit)); ok {
			number, shift = digits, 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n<<shift < least {
		return fmt.Errorf("%q: want an amount of memory such as 512M, at least 1M, or no", clip(value))
	}
	t.PluginMemory = n << shift
	return nil
}

func setCount(target *int, value string, low, high int) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		return fmt.Errorf("%q: want a number from %d to %d", clip(value), low, high)
	}
	*target = n
	return nil
}

// finish fills in the files that were not named; folder is that of the configuration.
func (t *Transport) finish(folder string) error {
	t.defaultKey = filepath.Join(folder, "corbie-node.pem")
	if folder == muninFolder {
		t.defaultKey = filepath.Join(folder, "munin-node.pem")
	}
	setDefault(&t.TLS.Key, t.defaultKey)
	setDefault(&t.TLS.Certificate, t.defaultKey)
	setDefault(&t.TLS.CA, filepath.Join(folder, "cacert.pem"))
	var err error
	t.keys, err = wire.NewTLS(t.TLS)
	return err
}

// CheckTLS reads the files with keys and certificates, which it may take root to read, and says what is wrong
// with them. The error says that the node cannot serve without; the rest are warnings.
func (t *Transport) CheckTLS() (warnings []string, err error) {
	faults := t.keys.Check()
	paranoid := t.TLS.Mode == wire.TLSParanoid
	unset := t.TLS.Key == t.defaultKey && errors.Is(faults.Key, os.ErrNotExist) && !t.TLS.Mode.Required()
	switch {
	case paranoid && (!faults.HasKey || !faults.HasCA):
		return nil, fmt.Errorf("tls paranoid: %w", errors.Join(faults.Key, faults.CA))
	case faults.Key != nil && faults.HasKey:
		warnings = append(warnings, "the key of before stays in use: "+faults.Key.Error())
	case faults.Key != nil && !unset:
		warnings = append(warnings, "sessions are encrypted with the master's key or not at all: "+faults.Key.Error())
	}
	if faults.CA != nil {
		warnings = append(warnings, "certificates of masters cannot be checked: "+faults.CA.Error())
	}
	if !paranoid {
		warnings = append(warnings, t.weakTLS()...)
	}
	return warnings, nil
}

// weakTLS says which settings prove less than they seem to where the mode is not paranoid.
func (t *Transport) weakTLS() []string {
	switch {
	case t.TLS.Verify:
		return []string{"masters that show no certificate are let in, as by Munin's node; tls paranoid wants one of each"}
	case t.TLS.Match != "":
		return []string{"tls_match without tls_verify_certificate proves nothing: everybody can make a certificate with that name"}
	}
	return nil
}

// keepTLS takes over what a configuration with the same settings has read: the files may not be readable now.
func (t *Transport) keepTLS(old *Transport) {
	if t.TLS == old.TLS {
		t.keys = old.keys
	}
}

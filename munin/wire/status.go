package wire

import (
	"errors"

	"corbie/munin"
)

// NodeStatus is a node's answer to the question how it is.
type NodeStatus struct {
	Plugins []munin.PluginState
	Spool   *munin.SpoolState // nil: the node has none
}

// Status asks how the node's last runs of its plugins went, and its spool. Known is false when the node does not understand
// the question, as only Corbie's own does. An error that wraps no SessionError is about lines that could not be
// read; what could be is there.
func (c *Client) Status() (status NodeStatus, known bool, err error) {
	if err := c.idleQuestion("status", "status"); err != nil {
		return status, false, err
	}
	body, proved, err := c.readBody("status")
	if err != nil || proved {
		return status, false, err
	}
	if err := c.step("status"); err != nil {
		return status, false, err
	}
	var pluginsErr, spoolErr error
	status.Plugins, pluginsErr = munin.ParsePluginStates(body)
	status.Spool, spoolErr = munin.ParseSpoolState(body)
	return status, true, errors.Join(pluginsErr, spoolErr)
}

package wire

import "corbie/munin"

// Status asks how the node's last runs of its plugins went. Known is false when the node does not understand
// the question, as only Corbie's own does. An error that wraps no SessionError is about lines that could not be
// read; the states that could be are there.
func (c *Client) Status() (states []munin.PluginState, known bool, err error) {
	if err := c.idleQuestion("status", "status"); err != nil {
		return nil, false, err
	}
	body, proved, err := c.readBody("status")
	if err != nil || proved {
		return nil, false, err
	}
	if err := c.step("status"); err != nil {
		return nil, false, err
	}
	states, err = munin.ParsePluginStates(body)
	return states, true, err
}

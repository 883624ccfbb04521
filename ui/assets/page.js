// Page behaviour.

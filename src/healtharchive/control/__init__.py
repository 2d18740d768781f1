"""The control plane: a request becomes a plan, passes the gates and is executed by one executor."""

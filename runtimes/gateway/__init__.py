"""The OpenAI front door: one address, a model name is a service name, requests go to ready replicas.

Nothing is imported here, so `runtimes.gateway` costs nothing to import. A process starts it with
`runtimes.gateway.main`; the controller's actor and the tests start it with `runtimes.gateway.run`. Tenants, budgets and
escalation are not here.
"""

"""The pages' views, one module a subject; each is thin: ask a service, choose a template, redirect after a POST."""

"""Puts load on an endpoint that speaks the OpenAI protocol and notes what comes back. Read `drive` first."""

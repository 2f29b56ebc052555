"""A client of any server of the contract: ours, Azure's, OpenAI's. The words of the command line come before it; nothing of
the service is imported here, and it knows nothing of terminals.
"""

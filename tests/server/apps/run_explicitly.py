"""A program that starts uvicorn itself and names the protocol."""

import uvicorn
from configured import unattached

if __name__ == "__main__":
    uvicorn.run(unattached, port=0, lifespan="off", http="asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol")
